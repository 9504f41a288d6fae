-- take: pops the best run of the queues and leases it, in one step, so a worker that dies in between loses nothing.
-- Answers {'lease', …}, or {'none', ms until the next due run or -1}, or {'dead'} to a slot declared dead.
-- A resend (same slot, same nonce) answers the same lease.
-- ARGV: slot, nonce, progress, lease_ms (of jobs that name none), queues…
local DUE_AT_ONCE = 32
local uid, nonce, progress = ARGV[1], ARGV[2], ARGV[3]
local slot = P .. 'slot:' .. uid

local function lease(run)
  local work = redis.call('HMGET', record_key(run.id), 'job', 'cache_version', 'args', 'watched')
  return {
    'lease', run.id, run.token, partition[1], work[1], work[2], work[3], run.start, run.failures, run.lease,
    run.max_attempts, (tonumber(work[4] or '0') > now) and 1 or 0,
  }
end

local function promote_due()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, DUE_AT_ONCE)) do
    local run = read_run(id)
    if run then
      move(run, 'due')
      commit(run)
    else
      redis.call('ZREM', P .. 'due', id)
    end
  end
end

-- The best run of all queues; an id whose record is gone (evicted, or removed by hand) is dropped.
local function best()
  while true do
    local id, score, queue
    for i = 5, #ARGV do
      local head = redis.call('ZRANGE', P .. 'ready:' .. ARGV[i], 0, 0, 'WITHSCORES')
      if head[1] and (not score or tonumber(head[2]) < score) then
        id, score, queue = head[1], tonumber(head[2]), ARGV[i]
      end
    end
    local run = id and read_run(id)
    if run or not id then
      return run
    end
    redis.call('ZREM', P .. 'ready:' .. queue, id)
  end
end

local function left_work()
  for i = 5, #ARGV do
    if redis.call('ZCARD', P .. 'ready:' .. ARGV[i]) > 0 then
      return ARGV[i]
    end
  end
end

local holds = redis.call('HMGET', slot, 'dead', 'nonce', 'run', 'token')
if holds[1] then
  return {'dead'}
end
if holds[3] then
  local run = read_run(holds[3])
  if run and run.state == 'running' and run.token == holds[4] then
    if holds[2] ~= nonce then
      return redis.error_reply('BUSYSLOT ' .. uid .. ' still holds run ' .. run.id)
    end
    return lease(run)
  end
end

promote_due()
local run = best()
if not run then
  for i = 5, #ARGV do
    redis.call('DEL', P .. 'bell:' .. ARGV[i])  -- no work, so no marker says anything
  end
  local next_due = redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
  return {'none', next_due[2] and math.max(0, tonumber(next_due[2]) - now) or -1}
end

put(run, 'token', tick())
put(run, 'owner', uid)
put(run, 'lease', run.own_lease ~= '' and run.own_lease or ARGV[4])
put(run, 'sequence', '0')
put(run, 'start', integer(tonumber(run.start) + 1))
put(run, 'started', integer(now))
put(run, 'progress', progress)
redis.call('HSET', slot, 'nonce', nonce, 'run', run.id, 'token', run.token)
redis.call('PEXPIRE', slot, SLOT_LIFE)
move(run, 'take')
commit(run)
local more = left_work()
if more then
  ring(more)
end
return lease(run)
