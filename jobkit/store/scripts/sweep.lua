-- sweep: what time alone brings: leases that ran out, runs that are due, records that have been forgotten.
-- Every worker calls it; the partition lets one pass an interval, so there is no leader. A resend finds the gate shut.
-- An outage is not a death: when nobody swept for longer than a third of a run's lease, or the clock went back, that run
-- gets one whole lease more, so that its holder can come back first.
-- Answers {1 if it swept, number of expired leases, ms until the next due run or -1}.
-- ARGV: interval_ms, limit, error head for a spent crash budget
local FORGOTTEN_AT_ONCE = 5000  -- above what one server can end a second, so the indexes cannot grow for ever
local interval, limit, lost = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local swept = tonumber(redis.call('HGET', KEYS[1], 'swept') or '0')
local gap = now - swept

if gap >= 0 and gap < interval then
  return {0, 0, next_due()}
end
redis.call('HSET', KEYS[1], 'swept', integer(now))

if gap < 0 or gap > 2 * interval then
  for _, id in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
    local run = read_run(id)
    if run and (gap < 0 or gap > tonumber(run.lease) / 3) then
      extend(run)
    end
  end
end

local expired = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, limit)) do
  local run = read_run(id)
  if not run then
    redis.call('ZREM', P .. 'leases', id)
    forget({id})
  else
    crash(run, 'expire', lost)
    commit(run)
    expired = expired + 1
  end
end

promote_due(limit)

local ended = redis.call('ZRANGEBYSCORE', P .. 'forget', '-inf', now, 'LIMIT', 0, FORGOTTEN_AT_ONCE)
for first = 1, #ended, 100 do
  local ids = {unpack(ended, first, math.min(first + 99, #ended))}
  redis.call('ZREM', P .. 'forget', unpack(ids))
  forget(ids)
end
return {1, expired, next_due()}
