-- cancel: withdraws one interest, and stops the run when it was the last, or when forced.
-- Answers missing, ended, stranger (holds no interest), left (others wait) or stopping. A resend answers as the first.
-- A queued run ends at once; a running one is flagged, and its worker told. Nobody joins it from here on.
-- ARGV: id, interest, force (1 or 0)
local id, interest, force = ARGV[1], 'interest:' .. ARGV[2], ARGV[3] == '1'
local run = read_run(id)
if not run then
  return 'missing'
elseif ENDED[run.state] then
  return run.state == 'cancelled' and 'stopping' or 'ended'
end
if not force then
  local stake = redis.call('HGET', record_key(id), interest)
  if not stake then
    return 'stranger'
  end
  if stake == '1' then
    redis.call('HSET', record_key(id), interest, '0')
    put(run, 'interests', integer(redis.call('HINCRBY', record_key(id), 'interests', -1)))
  end
  if tonumber(run.interests) > 0 then
    return 'left'
  end
end
if run.cancelling == '1' then
  return 'stopping'
end
put(run, 'cancelling', '1')
if run.state == 'running' then
  unpoint(run)
  local worker = string.match(run.slot, '^[^/]+')
  redis.call('PUBLISH', P .. 'worker:' .. worker, run.slot .. ' ' .. run.id .. ' ' .. run.token)
else
  move(run, 'cancel')
end
commit(run)
return 'stopping'
