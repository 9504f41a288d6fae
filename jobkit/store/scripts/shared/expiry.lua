-- expiry: runs of classes with `expires` that wait for their first start stand in `expiring`, by the moment (ms) from which
-- on they are not begun any more.

-- It may start from this moment on (ms).
local function await_start(run, start_at)
  local expires = terms(run).expires
  if expires and run.start == '0' then
    redis.call('ZADD', P .. 'expiring', integer(math.max(start_at, now) + expires), run.id)
  end
end

-- It has begun, or ended.
local function cease_waiting(run)
  if terms(run).expires then
    redis.call('ZREM', P .. 'expiring', run.id)
  end
end

local function has_expired(run)
  local till = run.start == '0' and terms(run).expires and redis.call('ZSCORE', P .. 'expiring', run.id)
  return till and tonumber(till) <= now
end
