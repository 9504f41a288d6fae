-- sweep: what time alone brings: leases that ran out, runs that are due, late or abandoned, records that are forgotten.
-- Every worker calls it; the partition lets one pass an interval, so there is no leader. A resend finds the gate shut.
-- An outage is not a death: when nobody swept for longer than a third of a run's lease, or the clock went back, that run
-- gets one whole lease more, so that its holder can come back first.
-- Answers {1 if it swept, number of expired leases, ms until the next due run or -1, 1 if there is more to do at once}.
-- ARGV: interval_ms, limit, error head for a spent crash budget, the incident of a lost worker, or ''

local FORGOTTEN_AT_ONCE = 500

local function past(set, most)
  return redis.call('ZRANGEBYSCORE', P .. set, '-inf', now, 'LIMIT', 0, most)
end

local function make_leases_whole(gap)
  for _, id in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
    local run = read_run(id)
    if run and (gap < 0 or gap > run.lease / 3) then
      extend(run)
    end
  end
end

local function expire(most, lost, incident)
  local expired = 0
  for _, id in ipairs(past('leases', most)) do
    local run = read_run(id)
    if run then
      note_incident(run, incident)
      crash(run, 'expire', lost)
      commit(run)
      expired = expired + 1
    else
      redis.call('ZREM', P .. 'leases', id)
      forget({id})
    end
  end
  return expired
end

local function abandon(most)
  for _, id in ipairs(past('abandon', most)) do
    local run = read_run(id)
    if run and run.cancelling ~= '1' and not ended(run.state) then
      stop(run)
    else
      redis.call('ZREM', P .. 'abandon', id)
    end
  end
end

local function leave_owners(id)
  if redis.call('HGET', record_key(id), 'owner') then
    for _, name in ipairs(redis.call('HKEYS', record_key(id))) do
      local owner = string.match(name, '^owner:(.*)$')
      if owner then
        redis.call('ZREM', P .. 'owner:' .. owner, id)
      end
    end
  end
end

local function forget_some(ids)
  local records = {}
  for i, id in ipairs(ids) do
    leave_owners(id)
    records[i] = record_key(id)
  end
  redis.call('ZREM', P .. 'forget', unpack(ids))
  forget(ids)
  redis.call('UNLINK', unpack(records))
end

-- Answers whether there is more to forget.
local function forget_ended()
  local ids = past('forget', FORGOTTEN_AT_ONCE)
  for first = 1, #ids, 100 do
    forget_some({unpack(ids, first, math.min(first + 99, #ids))})
  end
  return #ids == FORGOTTEN_AT_ONCE
end

-- One name a pass: there are few of them.
local function look_at_one_queue()
  local queue = redis.call('SRANDMEMBER', P .. 'queues')
  if queue then
    drop_if_empty(queue)
  end
end

function scripts.sweep(ARGV)
  local interval, most, lost, incident = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
  local gap = now - (redis.call('HGET', PARTITION, 'swept') or 0)
  if gap >= 0 and gap < interval then
    return {0, 0, next_due(), 0}
  end
  redis.call('HSET', PARTITION, 'swept', now_text)
  if gap < 0 or gap > 2 * interval then
    make_leases_whole(gap)
    wait_for_declarations()
  else
    drop_undeclared(most)
  end
  if gap < 0 then
    bring_all_up()
  end
  local expired = expire(most, lost, incident)
  abandon(most)
  give_up_late(most)
  promote_due(most)
  look_at_one_queue()
  local more = forget_ended()
  if more then
    redis.call('HSET', PARTITION, 'swept', integer(now - interval))  -- whoever calls next goes on at once
  end
  return {1, expired, next_due(), more and 1 or 0}
end
