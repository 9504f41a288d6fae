-- declare: makes a schedule, or puts another in its place. Answers 1 if it stands as declared, 0 if it was not as `seen`.
-- Guarantees: nothing is replaced that the caller has not seen, so of two who declare at once one sees the other's. What was
-- fired, and whether it is paused, stays. A resend finds its own.
-- ARGV: name, seen mark, next and last tick (with spaces between; '' for none), mark, schedule (JSON), next (ms), 1 if one
-- that is new here, or comes back, is paused, then what `submit` takes for one run. Without that, and without `next`, the
-- schedule lives in another partition now: nobody fires it here.

function scripts.declare(ARGV)
  local name, seen, mark, schedule, next_tick, paused = unpack(ARGV)
  local key = schedule_key(name)
  local known = redis.call('HMGET', key, 'mark', 'next', 'paused', 'last_tick')
  if known[1] ~= mark then
    local there = known[1] and known[1] .. ' ' .. known[2] .. ' ' .. (known[4] or '') or ''
    if there ~= seen then
      return 0
    end
    local lived_here = known[2] and known[2] ~= ''  -- else it may have been paused elsewhere meanwhile
    paused = lived_here and known[3] or paused
    redis.call('HSET', key, 'mark', mark, 'schedule', schedule, 'next', next_tick, 'paused', paused)
    for i = 7, #ARGV do
      redis.call('HSET', key, SUBMITTED[i - 6], ARGV[i])
    end
  end
  redis.call('ZADD', P .. 'schedules', now_text, name)
  return 1
end
