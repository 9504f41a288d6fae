-- load: a run as it stands. Writes nothing but, when asked, how long somebody watches it.
-- Answers {snapshot, result or nil, 1 if its worker was lost, traceback or nil, secret}, or nil for an unknown run.
-- ARGV: id, watch_ms (0: not watching), 1 to bring the result too
local id, watch = ARGV[1], tonumber(ARGV[2])
local run = read_run(id)
if not run then
  return false
end
if watch > 0 and not ENDED[run.state] then
  redis.call('HSET', record_key(id), 'watched', integer(now + watch))
end
local extra = redis.call('HMGET', record_key(id), 'lost', 'traceback')
local result = ARGV[3] == '1' and redis.call('HGET', record_key(id), 'result')
return {snapshot(run), result or false, extra[1] and 1 or 0, extra[2] or false, partition[3]}
