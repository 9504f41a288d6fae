-- reassert: a holder's run in a store that lost it, or that is an older copy of the one which gave the lease.
-- Guarantees: a run that merely ended is not raised (the incarnation tells), and whoever holds a newer token keeps the run.
-- Answers ok, ended or lost. A resend finds its own lease: ok.
-- ARGV: slot ('' for none), id, token, incarnation of the lease, start, failures, lease_ms; then what its record kept when it
--       was taken, in the order of KEPT

local KEPT = {'work', 'queue', 'key', 'limits', 'labels', 'terms', 'job', 'created', 'priority', 'score', 'owner'}

local function made_anew(id, kept)
  local run = {id = id, changes = {}, state = 'unknown', version = '0'}
  for i, name in ipairs(KEPT) do
    if kept[i] ~= '' then
      put(run, name, kept[i])
    end
  end
  put(run, 'interests', '0')
  redis.call('ZADD', P .. 'runs', run.created, id)
  return run
end

-- As it was submitted, as far as its worker knows.
local function restore_interest(run)
  if run.owner then
    own(run.id, run.owner, run.created)
  end
  stake(run.id, run.owner and 'owner:' .. run.owner or 'ticket:' .. run.id)
  renew_interest(run.id, terms(run).abandon_after)
end

-- A newer live run keeps the key.
local function point_if_free(run)
  if not run.key then
    return
  end
  local live, ends = unpack(redis.call('HMGET', pointer_key(run.key), 'live', 'until'))
  local other = live and live ~= run.id and read_run(live)
  if (not other or ended(other.state)) and tonumber(run.token) > tonumber(redis.call('HGET', PARTITION, 'barred') or '0') then
    point(run, ends)
  end
end

-- Why the run is not this holder's any more, or nil.
local function objection(run, slot, token, incarnation)
  if slot ~= '' and redis.call('HGET', slot_key(slot), 'dead') then
    return 'lost'
  elseif not run then
    return incarnation == partition.incarnation and 'lost' or nil
  elseif ended(run.state) then
    return run.token == token and 'ended' or 'lost'
  elseif tonumber(token) < tonumber(run.token or '0') then
    return 'lost'
  elseif run.token == token and run.state == 'running' then
    return 'ok'
  end
end

local function hold_in_slot(slot, run)
  if slot ~= '' then
    redis.call('HSET', slot_key(slot), 'run', run.id, 'token', run.token)
    redis.call('PERSIST', slot_key(slot))
  end
end

function scripts.reassert(ARGV)
  local slot, id, token, incarnation, start, failures, lease = unpack(ARGV, 1, 7)
  local run = read_run(id)
  local answer = objection(run, slot, token, incarnation)
  if answer then
    return answer
  end
  if tonumber(partition.clock) < tonumber(token) then
    redis.call('HSET', PARTITION, 'clock', token)
  end
  local known = run ~= nil
  if known then
    let_slot_expire(run)
    cease_waiting(run)
  else
    run = made_anew(id, {unpack(ARGV, 8)})
  end
  if run.token ~= token then  -- what was told of another start is not this one's, and starts only rise
    local last = tonumber(run.start or '0')
    put(run, 'start', integer(last < tonumber(start) and start or last + 1))
    put(run, 'progress', UNTOUCHED)
    put(run, 'failures', failures)
    redis.call('HDEL', record_key(id), 'error', 'traceback')
  end
  put(run, 'token', token)
  put(run, 'slot', slot)
  put(run, 'lease', lease)
  put(run, 'sequence', '0')
  put(run, 'started', now_text)
  hold_in_slot(slot, run)
  move(run, 'reassert')
  commit(run)
  if not known then
    restore_interest(run)
    point_if_free(run)
  end
  return 'ok'
end
