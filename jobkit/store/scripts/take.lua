-- take: pops the best run of the queues and leases it, in one step, so a worker that dies in between loses nothing.
-- Answers {'lease', …}, or {'none', ms until the next due run or -1}, or {'dead'} to a slot that must end: it was declared
-- dead, or it asks for a second run while it holds one, so it has lost track of the first.
-- A resend (same slot, same nonce) answers the same lease; one that comes after that lease has ended takes nothing.
-- ARGV: slot, nonce, lease_ms (of jobs that name none), queues…
local DUE_AT_ONCE = 32
local FIRST_QUEUE = 4
local slot, nonce = ARGV[1], ARGV[2]
local key = slot_key(slot)

local function lease(run)
  local work, failures = unpack(redis.call('HMGET', record_key(run.id), 'work', 'failures'))
  return {
    'lease', run.id, run.token, partition[1], work, run.start, failures or '0', run.lease, terms(run).max_attempts,
    (tonumber(run.watched or '0') > now) and 1 or 0,
  }
end

-- The best run of all queues; an id whose record is gone (evicted, or removed by hand) is dropped.
local function best()
  while true do
    local id, score, queue
    for i = FIRST_QUEUE, #ARGV do
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
    forget({id})
  end
end

local function left_work()
  for i = FIRST_QUEUE, #ARGV do
    if redis.call('ZCARD', P .. 'ready:' .. ARGV[i]) > 0 then
      return ARGV[i]
    end
  end
end

local holds = redis.call('HMGET', key, 'dead', 'nonce', 'run', 'token')
if holds[1] then
  return {'dead'}
end
if holds[3] then
  local run = read_run(holds[3])
  if run and run.state == 'running' and run.token == holds[4] then
    return holds[2] == nonce and lease(run) or {'dead'}
  end
end
if holds[2] == nonce then
  return {'none', 0}
end

promote_due(DUE_AT_ONCE)
local run = best()
if not run then
  if holds[3] then  -- who takes has left what it held before, also when that was lost
    redis.call('HDEL', key, 'run', 'token')
    redis.call('PEXPIRE', key, SLOT_LIFE)
  end
  for i = FIRST_QUEUE, #ARGV do
    redis.call('DEL', P .. 'bell:' .. ARGV[i])  -- no work, so no marker says anything
  end
  return {'none', next_due()}
end
desert(run)

put(run, 'token', tick())
put(run, 'slot', slot)
put(run, 'lease', integer(terms(run).lease or ARGV[3]))
put(run, 'sequence', '0')
put(run, 'start', integer(tonumber(run.start) + 1))
put(run, 'started', integer(now))
if run.start ~= '1' then
  put(run, 'progress', UNTOUCHED)
end
redis.call('HSET', key, 'nonce', nonce, 'run', run.id, 'token', run.token)
if holds[2] then
  redis.call('PERSIST', key)
end
move(run, 'take')
commit(run)
local more = left_work()
if more then
  ring(more)
end
return lease(run)
