-- open: founds the partition if it is new, and answers its format, incarnation, secret and the number of partitions.
-- (Stands without the prelude.) A resend finds what the first one founded.
-- KEYS partition; ARGV format, a random incarnation, a random secret, the number of partitions
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'incarnation', ARGV[2], 'secret', ARGV[3], 'partitions', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'format', 'incarnation', 'secret', 'partitions')
