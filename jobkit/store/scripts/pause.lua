-- pause: nothing is taken from a queue until it is resumed; what waits in it stays, what is running goes on.
-- Answers 1 if that changed anything. A resend changes nothing. ARGV: queue, 1 to pause or 0 to resume

function scripts.pause(ARGV)
  local queue, pausing = ARGV[1], ARGV[2] == '1'
  if pausing == (is_paused(queue) or false) then
    return 0
  end
  local paused = partition.paused or ' '
  if pausing then
    redis.call('DEL', P .. 'bell:' .. queue)
    partition.paused = paused .. queue .. ' '
  else
    local first, last = string.find(paused, ' ' .. queue .. ' ', 1, true)
    partition.paused = string.sub(paused, 1, first) .. string.sub(paused, last + 1)
    to_ring[queue] = redis.call('EXISTS', P .. 'ready:' .. queue) == 1 or nil
  end
  if partition.paused == ' ' then
    redis.call('HDEL', PARTITION, 'paused')
  else
    redis.call('HSET', PARTITION, 'paused', partition.paused)
  end
  return 1
end
