-- limits: how many runs of a kind may be running (`m:…`, a number), how far apart they start (`r:…`, µs), and how many of one
-- owner stand in a queue before their first start (`s:…`, 1): so owners take turns, however much each of them submits.
--
-- A run that a limit blocks is parked: it is queued, but stands in the limit's line for its queue and not in the queue
-- itself, so that a take need not look past it. When a limit has room again it is offered to the best that are parked.
-- An offer promises nothing: whoever is taken first gets the room, and the others are parked again.

local LOOKS = 32          -- parked runs that one offer looks at; `paced` brings the limit up again for the others
local HEAD_START = 60000  -- ms that one step of priority is worth in a queue or a line
local RATE_MEMORY = 1000  -- ms for which a rate's last start is kept beyond its effect

local function is_rate(limit)
  return string.sub(limit, 1, 2) == 'r:'
end

local function is_share(limit)
  return string.sub(limit, 1, 2) == 's:'
end

local function no_more()
end

-- The number that counts: what was set while it runs (`limit`), else what the run was submitted with.
local function in_force(limit, number)
  if not partition.overridden then
    return number
  end
  local set = redis.call('HGET', P .. 'overrides', limit)
  return set and string.match(set, '^%S+') or number
end

-- Of a run: pairs of a limit's name and the number in force.
local function limits_of(run)
  local named = run.limits and string.gmatch(run.limits, '(%S+) (%S+)') or no_more
  return not partition.overridden and named or function()
    local limit, number = named()
    return limit, limit and in_force(limit, number)
  end
end

local function line_of(limit, queue)
  return P .. 'parked:' .. limit .. ':' .. queue
end

-- µs until a rate allows the next start. (More than lie between two says that the clock has gone back, and so nothing.)
local function rest(limit, apart)
  local left = (redis.call('GET', P .. 'tat:' .. limit) or 0) - now_us
  return left <= tonumber(apart) and math.max(0, left) or 0
end

-- How many more may start now. A holder whose record is gone (removed by hand) holds nothing; one is looked at each time.
local function room(limit, number)
  if is_rate(limit) then
    return rest(limit, number) > 0 and 0 or 1
  end
  local holders = P .. 'holders:' .. limit
  local free = number - redis.call('SCARD', holders)
  if free <= 0 then
    local one = redis.call('SRANDMEMBER', holders)
    if one and redis.call('EXISTS', record_key(one)) == 0 then
      redis.call('SREM', holders, one)
      return free + 1
    end
  end
  return free
end

-- The first limit that has no room for this run, or nil. A share is a matter of getting into the queue, once.
local function blocking(run, stands_in_queue)
  for limit, number in limits_of(run) do
    local matters = not is_share(limit) or (run.start == '0' and not stands_in_queue)
    if matters and room(limit, number) <= 0 then
      return limit
    end
  end
end

local function hold(run, kind)
  for limit in limits_of(run) do
    if string.sub(limit, 1, 2) == kind then
      redis.call('SADD', P .. 'holders:' .. limit, run.id)
    end
  end
end

local function unhold(run, kind)
  for limit in limits_of(run) do
    if string.sub(limit, 1, 2) == kind then
      redis.call('SREM', P .. 'holders:' .. limit, run.id)
    end
  end
end

local function bring_up(limit, ms)
  local before = redis.call('ZSCORE', P .. 'paced', limit)
  if not before or ms < tonumber(before) then
    await_moment('paced', ms, limit)
  end
end

-- A limit that has parked runs, and is a rate that allows no start now, comes up when it does.
local function wait_for_pace(limit, number)
  local us = is_rate(limit) and rest(limit, number) or 0
  if us > 0 then
    bring_up(limit, math.ceil((now_us + us) / 1000))
  end
end

-- (To the microsecond: what was submitted first in one millisecond is also taken first.)
local function score_of(start_at, priority)
  return string.format('%.3f', math.max(start_at, now_us / 1000) - priority * HEAD_START)
end

-- The clock has gone back: the moments that were kept are too far off.
local function bring_all_up()
  for _, limit in ipairs(redis.call('ZRANGE', P .. 'paced', 0, -1)) do
    bring_up(limit, now)
  end
end

-- The set a queued run stands in.
local function place_of(run)
  if run.parked and run.parked ~= '' then
    return line_of(run.parked, run.queue)
  end
  return P .. 'ready:' .. run.queue
end

local function number_of(run, limit)
  return in_force(limit, string.match(run.limits, limit .. ' (%S+)'))
end

local function park(run, limit)
  put(run, 'parked', limit)
  redis.call('ZADD', line_of(limit, run.queue), run.score, run.id)
  redis.call('SADD', P .. 'parking:' .. limit, run.queue)
  redis.call('HINCRBY', P .. 'parked', run.queue, 1)
  wait_for_pace(limit, number_of(run, limit))
end

local function leave_line(id, limit, queue)
  local line = line_of(limit, queue)
  redis.call('ZREM', line, id)
  if redis.call('EXISTS', line) == 0 then
    redis.call('SREM', P .. 'parking:' .. limit, queue)
  end
  if redis.call('HINCRBY', P .. 'parked', queue, -1) == 0 then
    redis.call('HDEL', P .. 'parked', queue)
  end
end

local function stand_in_queue(run)
  if run.parked and run.parked ~= '' then
    put(run, 'parked', '')
  end
  redis.call('ZADD', P .. 'ready:' .. run.queue, run.score, run.id)
  if run.start == '0' then
    hold(run, 's:')
  end
  to_ring[run.queue] = true
end

local function leave_queue(run)
  redis.call('ZREM', P .. 'ready:' .. run.queue, run.id)
  unhold(run, 's:')
end

-- Into the queue, or into the line of what blocks it.
local function line_up(run)
  local limit = blocking(run)
  if limit then
    park(run, limit)
  else
    stand_in_queue(run)
  end
end

-- A place in a queue or a line is no news to watchers: it is written under the same version.
local function note(run)
  if #run.changes > 0 then
    redis.call('HSET', record_key(run.id), unpack(run.changes))
    run.changes = {}
  end
end

-- The room of one limit, to the best in its line for one queue. Answers how many looks are left.
local function offer_to(limit, queue, looks)
  local offered = 0
  while true do
    local id = redis.call('ZRANGE', line_of(limit, queue), 0, 0)[1]
    if not id then
      return looks
    end
    if looks == 0 then
      bring_up(limit, now)
      return 0
    end
    looks = looks - 1
    local run = read_run(id)
    local number = run and number_of(run, limit)
    if run and room(limit, number) <= offered then
      wait_for_pace(limit, number)
      return looks
    end
    leave_line(id, limit, queue)
    if run then
      if is_share(limit) then  -- its turn has come now, behind those of others that came before
        put(run, 'score', score_of(now, tonumber(field(run, 'priority') or '0')))
      end
      line_up(run)
      note(run)
      offered = offered + (run.parked == '' and 1 or 0)
    end
  end
end

local function offer(limit)
  local looks = LOOKS
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'parking:' .. limit)) do
    looks = offer_to(limit, queue, looks)
  end
end

-- What this run no longer takes up, others may.
local function offer_room_of(run)
  for limit in limits_of(run) do
    offer(limit)
  end
end

-- A start: the rates of this run allow the next one only later. (When it leaves the queue they are offered, and wait.)
local function pace(run)
  for limit, apart in limits_of(run) do
    if is_rate(limit) then
      local wait = rest(limit, apart) + apart
      redis.call('SET', P .. 'tat:' .. limit, integer(now_us + wait), 'PX', integer(wait / 1000 + RATE_MEMORY))
    end
  end
end

-- Limits whose time has come are offered.
local function serve_paced(most)
  for _, limit in ipairs(redis.call('ZRANGEBYSCORE', P .. 'paced', '-inf', now, 'LIMIT', 0, most)) do
    redis.call('ZREM', P .. 'paced', limit)
    offer(limit)
  end
end
