-- cancel: withdraws one interest, and stops the run when it was the last, or when forced.
-- Answers missing, ended, stranger (holds no interest), left (others wait) or stopping. A resend answers as the first.
-- A queued run ends at once; a running one is flagged, and its worker told. Nobody joins it from here on.
-- ARGV: id, interest, force (1 or 0)

local function withdraw(run, interest)
  local key, name = record_key(run.id), 'interest:' .. interest
  local stake = redis.call('HGET', key, name)
  if stake == '1' then
    redis.call('HSET', key, name, '0')
    put(run, 'interests', integer(redis.call('HINCRBY', key, 'interests', -1)))
  end
  return stake
end

function scripts.cancel(ARGV)
  local id, interest, force = ARGV[1], ARGV[2], ARGV[3] == '1'
  local run = read_run(id)
  if not run then
    return 'missing'
  elseif ended(run.state) then
    return run.state == 'cancelled' and 'stopping' or 'ended'
  elseif not force and not withdraw(run, interest) then
    return 'stranger'
  elseif not force and tonumber(run.interests) > 0 then
    return 'left'
  elseif run.cancelling ~= '1' then
    stop(run)
  end
  return 'stopping'
end
