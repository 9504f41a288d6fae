-- owned: whether an owner submitted this run (joins and memo hits included). Answers 1, 0, or nil for an unknown run.
-- ARGV: id, owner
if redis.call('EXISTS', record_key(ARGV[1])) == 0 then
  return false
end
return redis.call('HEXISTS', record_key(ARGV[1]), 'owner:' .. ARGV[2])
