-- moves: a state changes here and nowhere else, and with it every set that the run stands in.

local FALLBACK = 3600000  -- ms that a record may outlive its time where nobody sweeps

local function leave(run)
  if run.state == 'scheduled' then
    redis.call('ZREM', P .. 'due', run.id)
  elseif run.state == 'running' then
    redis.call('ZREM', P .. 'leases', run.id)
    unhold(run, 'm:')
  elseif run.parked and run.parked ~= '' then
    leave_line(run.id, run.parked, run.queue)
    put(run, 'parked', '')
  else
    leave_queue(run)
  end
  redis.call('ZREM', P .. 'state:' .. run.state, run.id)
end

-- Kept for as long as its readers or its key need it; then the sweep forgets it.
local function end_run(run)
  let_slot_expire(run)
  put(run, 'finished', now_text)
  drop_checkpoint(run)
  local needed = bequeath(run)
  local said = terms(run)
  local keep = math.max(said.keep, needed - now, 1)
  redis.call('PEXPIRE', record_key(run.id), integer(keep + FALLBACK))
  redis.call('ZADD', P .. 'forget', integer(now + keep), run.id)
  if said.abandon_after then
    redis.call('ZREM', P .. 'abandon', run.id)
  end
  cease_waiting(run)
end

local function enter(run)
  redis.call('ZADD', P .. 'state:' .. run.state, now_text, run.id)
  if run.state == 'scheduled' then
    await_moment('due', tonumber(run.due), run.id)
  elseif run.state == 'queued' then
    line_up(run)
  elseif run.state == 'running' then
    redis.call('ZADD', P .. 'leases', integer(now + run.lease), run.id)
    hold(run, 'm:')
  else
    end_run(run)
  end
end

local function move(run, name)
  local from, was_parked = run.state, run.parked and run.parked ~= ''
  local to = next_state(from, name)
  if not to then
    error('no move "' .. name .. '" from "' .. from .. '" for run ' .. run.id)
  end
  if from ~= 'unknown' then
    leave(run)
  end
  put(run, 'state', to)
  enter(run)
  if run.limits and (from == 'running' or (from == 'queued' and not was_parked)) then
    write(run)  -- what is offered looks at the records
    offer_room_of(run)
  end
end

-- Ids whose records are gone leave every index.
local function forget(ids)
  redis.call('ZREM', P .. 'runs', unpack(ids))
  redis.call('ZREM', P .. 'expiring', unpack(ids))
  for _, state in ipairs(states()) do
    redis.call('ZREM', P .. 'state:' .. state, unpack(ids))
  end
end
