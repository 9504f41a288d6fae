-- clock: the partition's time, the only one that counts, and the stamps that order what happens in it.

local PARTITION, P            -- "{namespace:0}:partition", and what every key of it begins with, "{namespace:0}:"
local partition               -- what is kept of it: incarnation, clock, stamped, paused, overridden, alarm, server
local now_us, now, now_text   -- its time in µs, in ms, and in ms as it is written

-- As it is written; what is behind the point is dropped.
local function integer(number)
  return string.format('%d', number)
end

-- Every call begins with this. Answers nil, or why it cannot go on.
local function begin(key)
  PARTITION, P = key, string.sub(key, 1, -10)
  local kept = redis.call('HMGET', PARTITION, 'incarnation', 'clock', 'stamped', 'skew', 'paused', 'overridden', 'alarm', 'server')
  if not kept[1] then
    return redis.error_reply('NOPARTITION this partition is not open yet')
  end
  partition = {
    incarnation = kept[1], clock = kept[2] or '0', stamped = kept[3], paused = kept[5], overridden = kept[6], alarm = kept[7],
    server = kept[8] or '',
  }
  local time = redis.call('TIME')
  now_us = time[1] * 1000000 + time[2] + (kept[4] or 0) * 1000  -- `skew` (ms) is set by clocks of tests only
  now = math.floor(now_us / 1000)
  now_text = integer(now)
end

-- A new stamp: above every earlier one, whatever the server's clock did.
local function tick()
  partition.clock = integer(math.max(partition.clock + 1, now_us))
  redis.call('HSET', PARTITION, 'clock', partition.clock)
  return partition.clock
end
