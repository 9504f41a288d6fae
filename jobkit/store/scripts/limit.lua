-- limit: sets another number for a limit, for runs that are queued already too, or goes back to what its runs brought along.
-- A limit that has more room now is offered at once; one that has less keeps what is running.
-- Answers 1 if that changed anything. A resend changes nothing.
-- ARGV: limit, number ('' goes back), what a reader is told it is a limit of

local function remember(limit, number, what)
  local value = number .. ' ' .. what
  if redis.call('HGET', P .. 'overrides', limit) == value then
    return false
  end
  redis.call('HSET', P .. 'overrides', limit, value)
  return true
end

function scripts.limit(ARGV)
  local limit, number, what = ARGV[1], ARGV[2], ARGV[3]
  local changed
  if number == '' then
    changed = redis.call('HDEL', P .. 'overrides', limit) == 1
  else
    changed = remember(limit, number, what)
  end
  if not changed then
    return 0
  end
  local set = redis.call('HLEN', P .. 'overrides')
  if set > 0 then
    redis.call('HSET', PARTITION, 'overridden', set)
    partition.overridden = set
  else
    redis.call('HDEL', PARTITION, 'overridden')
    partition.overridden = nil
  end
  offer(limit)
  return 1
end
