-- limits: those that have another number than their runs brought along. Writes nothing.
-- Answers two values each: the limit, and "number what". ARGV: none

function scripts.limits()
  return redis.call('HGETALL', P .. 'overrides')
end
