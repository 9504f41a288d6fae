-- schedules: what is submitted by the clock. Each is a record `schedule:NAME`: what it submits (as `submit` takes it), its
-- `next` tick, and a `mark` of what was declared, so that one who declared something else leaves it alone. All are listed
-- in `schedules`, by when somebody last declared them; the sweep drops what nobody has for a week.

local UNDECLARED_LIFE = 604800000  -- ms
local AFTER_OUTAGE = 3600000       -- ms in which who comes back declares its own, before it is dropped
local SUBMITTED = {
  'job', 'queue', 'terms', 'labels', 'tags', 'owner', 'reuse', 'priority', 'start', 'starts', 'interest',
  'id', 'key', 'limits', 'work',
}

local function schedule_key(name)
  return P .. 'schedule:' .. name
end

-- What `submit` is given for a run of a schedule; its work says for which tick (ms) it is, '' for none.
local function submission_of(name, id, tick)
  local words = redis.call('HMGET', schedule_key(name), unpack(SUBMITTED))
  words[12] = id
  if tick ~= '' then
    words[15] = words[15] .. '\n' .. tick
  end
  return words
end

local function note_run(name, id)
  redis.call('HSET', schedule_key(name), 'last_run', id, 'last_at', now_text)
end

-- Nobody could declare anything for a while; or the clock has gone back, and what was declared would be so for too long.
local function wait_for_declarations()
  local listed = redis.call('ZRANGE', P .. 'schedules', 0, -1, 'WITHSCORES')
  for i = 1, #listed, 2 do
    local declared = math.min(math.max(listed[i + 1], now - UNDECLARED_LIFE + AFTER_OUTAGE), now)
    redis.call('ZADD', P .. 'schedules', integer(declared), listed[i])
  end
end

local function drop_undeclared(most)
  local names = redis.call('ZRANGEBYSCORE', P .. 'schedules', '-inf', now - UNDECLARED_LIFE, 'LIMIT', 0, most)
  for _, name in ipairs(names) do
    redis.call('ZREM', P .. 'schedules', name)
    redis.call('DEL', schedule_key(name))
  end
end
