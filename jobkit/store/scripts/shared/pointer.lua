-- pointer: what a cache key points to: `live` (the one run that may be joined), `memo` (the run whose value answers) and
-- `failed` (the run whose failure refuses). `until` (ms) is when all it remembers is over.

local function pointer_key(key)
  return P .. 'key:' .. key
end

local function read_pointer(key)
  local v = redis.call('HMGET', pointer_key(key), 'live', 'memo', 'failed', 'began', 'until')
  return {live = v[1], memo = v[2], failed = v[3], began = v[4], ends = v[5]}
end

-- What is left of a pointer without a live run: until its time is over, or nothing.
local function fade(key, ends)
  if ends > now then
    redis.call('HDEL', key, 'live')
    redis.call('PEXPIRE', key, integer(ends - now))
  else
    redis.call('DEL', key)
  end
end

-- This run is the only joinable one of its key from now on; what is remembered (until `ends`) still answers if it fails.
local function point(run, ends, start_at, throttle)
  local key = pointer_key(run.key)
  redis.call('HSET', key, 'live', run.id)
  if throttle then
    ends = math.max(ends or 0, start_at + throttle)
    redis.call('HSET', key, 'began', integer(start_at), 'until', integer(ends))
  end
  if ends then
    redis.call('PERSIST', key)
  end
end

-- Nobody joins this run any more. It goes on for those who hold its id.
local function unpoint(run)
  if not run.key then
    return
  end
  local live, ends = unpack(redis.call('HMGET', pointer_key(run.key), 'live', 'until'))
  if live == run.id then
    fade(pointer_key(run.key), tonumber(ends or 0))
  end
end

-- The memo of its key from now on, for as long as its class says. (A value that took long is made anew earlier.)
local function as_memo(run, said)
  local fresh_until = now + said.cache_ttl
  local stale_until = fresh_until + (said.stale_ttl or 0)
  put(run, 'fresh_until', integer(fresh_until))
  put(run, 'stale_until', integer(stale_until))
  if said.refresh == 1 then
    local took = now - field(run, 'started')
    put(run, 'refresh_at', integer(fresh_until - math.min(1.2 * took, 0.2 * said.cache_ttl)))
  end
  redis.call('HSET', pointer_key(run.key), 'memo', run.id)
  return stale_until
end

-- Its failure answers from now on, for as long as its class says.
local function as_failure(run, said)
  local refuse_until = now + said.failure_ttl
  put(run, 'refuse_until', integer(refuse_until))
  redis.call('HSET', pointer_key(run.key), 'failed', run.id)
  return refuse_until
end

-- The run has ended. Only the live one of its key leaves anything there; answers until when (ms) its record is needed for it.
local function bequeath(run)
  if not run.key then
    return 0
  end
  local key = pointer_key(run.key)
  local live, remembered_until = unpack(redis.call('HMGET', key, 'live', 'until'))
  if live ~= run.id then
    return 0
  end
  local said, needed = terms(run), 0
  if run.state == 'succeeded' then
    redis.call('HDEL', key, 'failed')
    needed = said.cache_ttl and as_memo(run, said) or 0
  elseif run.state == 'failed' then
    needed = said.failure_ttl and as_failure(run, said) or 0
  end
  local ends = math.max(remembered_until or 0, needed)
  if ends > now then
    redis.call('HSET', key, 'until', integer(ends))
  end
  fade(key, ends)
  return needed
end
