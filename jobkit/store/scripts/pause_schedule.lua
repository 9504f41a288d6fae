-- pause_schedule: pauses a schedule, or has it go on with a tick still to come: what it would have fired meanwhile is over.
-- Answers 1 if it stands so now, 0 if there is none, or none whose next tick is `expected`. Resent: the same.
-- ARGV: name, 1 to pause or 0 to go on, expected next, next (ms) to go on with

function scripts.pause_schedule(ARGV)
  local name, pause, expected, next_tick = unpack(ARGV)
  local key = schedule_key(name)
  local known, paused = unpack(redis.call('HMGET', key, 'next', 'paused'))
  if not known or known == '' then
    return 0
  elseif paused == pause then
    return 1
  elseif pause == '1' then
    redis.call('HSET', key, 'paused', '1')
    return 1
  elseif known ~= expected then
    return 0
  end
  redis.call('HSET', key, 'paused', '0', 'next', next_tick)
  return 1
end
