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

-- A stake in the run, counted once by its name. An owner's that was withdrawn counts again; a ticket is one submission's,
-- so what would bring a withdrawn one back is a late copy of that.
local function stake(run_id, interest)
  local key, name = record_key(run_id), 'interest:' .. interest
  local counts = redis.call('HSETNX', key, name, '1') == 1
  if not counts and redis.call('HGET', key, name) == '0' and string.sub(interest, 1, 7) ~= 'ticket:' then
    redis.call('HSET', key, name, '1')
    counts = true
  end
  if counts then
    redis.call('HINCRBY', key, 'interests', 1)
  end
end

-- Nobody joins it from here on. A waiting run ends at once; a running one is flagged, and its worker told.
local function stop(run)
  put(run, 'cancelling', '1')
  redis.call('ZREM', P .. 'abandon', run.id)
  if run.state == 'running' then
    unpoint(run)
    local worker = string.match(run.slot or '', '^[^/]+')
    if worker then  -- a run that was asserted without a slot has none: its holder hears by its next report
      redis.call('PUBLISH', P .. 'worker:' .. worker, run.slot .. ' ' .. run.id .. ' ' .. run.token)
    end
  else
    move(run, 'cancel')
  end
  commit(run)
end

-- The pointer turns away from this run. It goes on for those who have a stake in it, and is stopped if nobody has.
local function supersede(run)
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
