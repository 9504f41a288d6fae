-- announce: what a worker tells of itself, for those who look after workers. A resend tells it again.
-- ARGV: worker, what (JSON, which nobody here reads), ms for which it is remembered when it says no more

function scripts.announce(ARGV)
  local worker, what, memory = unpack(ARGV)
  redis.call('SET', P .. 'about:' .. worker, what, 'PX', memory)
  redis.call('ZREMRANGEBYSCORE', P .. 'fleet', '-inf', now - memory)
  redis.call('ZADD', P .. 'fleet', now_text, worker)
  redis.call('PEXPIRE', P .. 'fleet', memory)
end
