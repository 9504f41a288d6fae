-- load: a run as it stands. Writes nothing but, when asked, how long somebody watches it (from then on it is published),
-- and that a submitter is still there.
-- Answers {snapshot, result or nil, 1 if its worker was lost, traceback or nil, until when its failure refuses or nil, of a
-- failed run whose result is asked for what befell it last, or nil}, or nil for an unknown run.
-- ARGV: id, watch_ms (0: not watching), 1 to bring the result too, interest in whose name it is read, or ''

function scripts.load(ARGV)
  local id, watch, interest = ARGV[1], tonumber(ARGV[2]), ARGV[4]
  local text = snapshot(id)
  if not text then
    return false
  end
  local key = record_key(id)
  local state, lost, traceback, refuse_until, stake, class_terms =
    unpack(redis.call('HMGET', key, 'state', 'lost', 'traceback', 'refuse_until', 'interest:' .. interest, 'terms'))
  if watch > 0 and not ended(state) then
    redis.call('HSET', key, 'watched', integer(now + watch))
  end
  local abandon_after = stake == '1' and parsed_terms(class_terms).abandon_after
  if abandon_after then
    redis.call('ZADD', P .. 'abandon', 'XX', integer(now + abandon_after), id)
  end
  local whole = ARGV[3] == '1'
  return {
    text, whole and redis.call('HGET', key, 'result'), lost and 1 or 0, traceback, refuse_until,
    whole and state == 'failed' and last_incident(id),
  }
end
