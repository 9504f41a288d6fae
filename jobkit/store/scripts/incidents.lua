-- incidents: what befell a run's starts, oldest first, or nil for an unknown run. Writes nothing. ARGV: id

function scripts.incidents(ARGV)
  if redis.call('EXISTS', record_key(ARGV[1])) == 0 then
    return false
  end
  return incidents(ARGV[1])
end
