-- load: a run as it stands. Writes nothing but, when asked, how long somebody watches it: from then on it is published.
-- Answers {snapshot, result or nil, 1 if its worker was lost, traceback or nil}, or nil for an unknown run.
-- ARGV: id, watch_ms (0: not watching), 1 to bring the result too
local id, watch = ARGV[1], tonumber(ARGV[2])
local text = snapshot(id)
if not text then
  return false
end
local state, lost, traceback = unpack(redis.call('HMGET', record_key(id), 'state', 'lost', 'traceback'))
if watch > 0 and not ENDED[state] then
  redis.call('HSET', record_key(id), 'watched', integer(now + watch))
end
local result = ARGV[3] == '1' and redis.call('HGET', record_key(id), 'result')
return {text, result, lost and 1 or 0, traceback}
