-- open: founds the partition if it is new, and answers its format, incarnation and secret. (Stands without the prelude.)
-- KEYS partition; ARGV format, a random incarnation, a random secret. A resend finds what the first one founded.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'incarnation', ARGV[2], 'secret', ARGV[3])
end
return redis.call('HMGET', KEYS[1], 'format', 'incarnation', 'secret')
