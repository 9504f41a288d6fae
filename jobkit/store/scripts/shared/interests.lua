-- interests: who has a stake in a run, and what follows when nobody has one any more.

local OWN_STAKE = 'interest:refresh'  -- the system's, in a run that makes a memo anew; nobody's leaving withdraws it

-- Whoever submitted it, joining and hits included: may read it, and finds it again.
local function own(run_id, owner, ms)
  if owner ~= '' then
    redis.call('HSET', record_key(run_id), 'owner:' .. owner, '1', 'owner', owner)
    redis.call('ZADD', P .. 'owner:' .. owner, integer(ms), run_id)
  end
end

local function renew_interest(run_id, abandon_after)
  if abandon_after then
    redis.call('ZADD', P .. 'abandon', integer(now + abandon_after), run_id)
  end
end

-- A stake in the run, counted once by its name; one that was withdrawn counts again.
local function stake(run_id, interest)
  local key, name = record_key(run_id), 'interest:' .. interest
  if redis.call('HGET', key, name) ~= '1' then
    redis.call('HSET', key, name, '1')
    redis.call('HINCRBY', key, 'interests', 1)
  end
end

-- Nobody joins it from here on. A waiting run ends at once; a running one is flagged, and its worker told.
local function stop(run)
  put(run, 'cancelling', '1')
  redis.call('ZREM', P .. 'abandon', run.id)
  if run.state == 'running' then
    unpoint(run)
    local worker = string.match(run.slot, '^[^/]+')
    redis.call('PUBLISH', P .. 'worker:' .. worker, run.slot .. ' ' .. run.id .. ' ' .. run.token)
  else
    move(run, 'cancel')
  end
  commit(run)
end

-- The pointer turns away from this run. It goes on for those who have a stake in it, and is stopped if nobody has.
local function let_go(run)
  if run.cancelling == '1' or ended(run.state) then
    return
  end
  if redis.call('HGET', record_key(run.id), OWN_STAKE) == '1' then
    redis.call('HSET', record_key(run.id), OWN_STAKE, '0')
    put(run, 'interests', integer(redis.call('HINCRBY', record_key(run.id), 'interests', -1)))
  end
  if run.interests == '0' then
    stop(run)
  end
end
