-- Sets the partition's clock by its `skew`, so that the call which follows in the same transaction happens at a given µs
-- (a transaction sees one server time), and removes the keys that have come to their end by then.
-- KEYS: partition; ARGV: the moment (µs), keys to remove
for i = 2, #ARGV do
  redis.call('DEL', ARGV[i])
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  local time = redis.call('TIME')
  local skew = (tonumber(ARGV[1]) - (tonumber(time[1]) * 1000000 + tonumber(time[2]))) / 1000
  redis.call('HSET', KEYS[1], 'skew', string.format('%.3f', skew))
end
