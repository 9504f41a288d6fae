-- Sets the partition's clock by its `skew`, so that the call which follows in the same transaction happens at a given µs
-- (a transaction sees one server time). Key TTLs follow the server's own time, which is not the walk's: keys that are to
-- be over by then are removed, and others are given time enough.
-- KEYS: partition; ARGV: the moment (µs), number of keys to remove, these, the keys to prolong
local ENOUGH = {run = 7200000, key = 3600000, slot = 3600000}
local removed = tonumber(ARGV[2])
for i = 3, 2 + removed do
  redis.call('DEL', ARGV[i])
end
for i = 3 + removed, #ARGV do
  redis.call('PEXPIRE', ARGV[i], ENOUGH[string.match(ARGV[i], '}:(%a+)')])
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  local time = redis.call('TIME')
  local skew = (tonumber(ARGV[1]) - (tonumber(time[1]) * 1000000 + tonumber(time[2]))) / 1000
  redis.call('HSET', KEYS[1], 'skew', string.format('%.3f', skew))
end
