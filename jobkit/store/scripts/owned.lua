-- owned: whether an owner submitted this run (joins and memo hits included). Answers 1, 0, or nil for an unknown run.
-- ARGV: id, owner

function scripts.owned(ARGV)
  local state, owned = unpack(redis.call('HMGET', record_key(ARGV[1]), 'state', 'owner:' .. ARGV[2]))
  return state and (owned and 1 or 0)
end
