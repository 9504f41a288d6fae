-- alarm: when to look for what comes up by itself. That stands in `due` (runs) and `paced` (limits), by its moment (ms), and
-- the partition's `alarm` is never later than the first of them: most takes need not look. It may be too early, which
-- costs a look. Versions that do not know of it do not set it: who finds nothing to take sets it right, and so does the
-- sweep, which looks every time.

local NO_ALARM = '9999999999999'

local function something_is_due()
  return not partition.alarm or tonumber(partition.alarm) <= now
end

local function set_alarm(text)
  if text ~= partition.alarm then
    partition.alarm = text
    redis.call('HSET', PARTITION, 'alarm', text)
  end
end

-- The first of both, in ms, or nil.
local function first_moment()
  local due = redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2]
  local paced = redis.call('ZRANGE', P .. 'paced', 0, 0, 'WITHSCORES')[2]
  return (due or paced) and math.min(due or math.huge, paced or math.huge)
end

-- (A set that says when somebody of it comes up is written here, and nowhere else.)
local function await_moment(set, ms, who)
  redis.call('ZADD', P .. set, integer(ms), who)
  if partition.alarm and ms < tonumber(partition.alarm) then
    set_alarm(integer(ms))
  end
end
