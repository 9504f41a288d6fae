-- take: pops the best run of the queues and leases it, in one step, so a worker that dies in between loses nothing.
-- Answers {'lease', …}, or {'none', ms until the next due run or -1}, or {'dead'} to a slot that must end: it was declared
-- dead, or it asks for a second run while it holds one, so it has lost track of the first.
-- A resend (same slot, same nonce) answers the same lease; one that comes after that lease has ended takes nothing.
-- A queue that is paused is passed over.
-- ARGV: slot, nonce, lease_ms (of jobs that name none), order ('best': the best run of all queues; 'first': the best of the
-- first queue that has any), queues…

local DUE_AT_ONCE = 32
local PARKED_AT_ONCE = 32
local FIRST_QUEUE = 5

-- What the next start may go on from: nothing that was made of what is invalid now.
local function checkpoint_of(run)
  local text, made_by, barred = unpack(redis.call('HMGET', record_key(run.id), 'checkpoint', 'checkpoint_by', 'barred'))
  if text and tonumber(made_by) > tonumber(barred or '0') and valid(run.id, '1', made_by) then
    return text
  end
  return false
end

-- What the child needs, then what its record keeps, should the store lose it (`reassert`).
local function lease(run)
  local job = run.job or cjson.encode(string.match(run.work, '[^\n]*'))  -- which format 1 did not keep by itself
  return {
    'lease', run.id, run.token, partition.incarnation, partition.server, run.start, run.failures or '0', run.lease,
    terms(run).max_attempts, (tonumber(run.watched or '0') > now) and 1 or 0, run.start ~= '1' and checkpoint_of(run),
    run.work, run.queue, run.key or '', run.limits or '', run.labels or '', run.terms, job, run.created,
    run.priority or '', run.score, run.owner or '',
  }
end

-- The arguments without the queues that are paused.
local function without_paused(ARGV)
  local kept = {unpack(ARGV, 1, FIRST_QUEUE - 1)}
  for i = FIRST_QUEUE, #ARGV do
    kept[#kept + 1] = not is_paused(ARGV[i]) and ARGV[i] or nil
  end
  return kept
end

-- The best run, in this order; an id whose record is gone (evicted, or removed by hand) is dropped.
local function best(ARGV)
  local first_will_do = ARGV[4] == 'first'
  while true do
    local id, score, queue
    for i = FIRST_QUEUE, #ARGV do
      if id and first_will_do then
        break
      end
      local head = redis.call('ZRANGE', P .. 'ready:' .. ARGV[i], 0, 0, 'WITHSCORES')
      if head[1] and (not score or tonumber(head[2]) < score) then
        id, score, queue = head[1], tonumber(head[2]), ARGV[i]
      end
    end
    local run = id and read_to_lease(id)
    if run or not id then
      return run
    end
    redis.call('ZREM', P .. 'ready:' .. queue, id)
    forget({id})
  end
end

-- The best run that no limit blocks. Those before it are parked, or given up when they are late; some at a time: then false
-- says that there may be more.
local function best_unblocked(ARGV)
  for _ = 1, PARKED_AT_ONCE do
    local run = best(ARGV)
    local late = run and has_expired(run)
    local limit = run and not late and blocking(run, true)
    if late then
      give_up(run)
    elseif limit then
      leave_queue(run)
      park(run, limit)
      note(run)
      offer_room_of(run)
    else
      return run
    end
  end
  return false
end

-- Who takes has left what it held before, also when that was lost.
local function leave_held(key, held)
  if held then
    redis.call('HDEL', key, 'run', 'token')
    redis.call('PEXPIRE', key, SLOT_LIFE)
  end
end

local function nothing_to_take(ARGV)
  for i = FIRST_QUEUE, #ARGV do
    redis.call('DEL', P .. 'bell:' .. ARGV[i])  -- no work, so no marker says anything
  end
  return {'none', next_due()}
end

-- Whoever was woken, or has come, and takes a run rings for what it leaves, in each of its queues: it may be any of them
-- whose marker it has used up. Who was busy has used up none.
local function wake_others(ARGV, was_busy)
  for i = FIRST_QUEUE, #ARGV do
    local queue = ARGV[i]
    if to_ring[queue] or not was_busy then
      to_ring[queue] = redis.call('EXISTS', P .. 'ready:' .. queue) == 1 or nil
    end
  end
end

local function start(run, slot, lease_ms)
  let_slot_expire(run)
  put(run, 'token', tick())
  put(run, 'slot', slot)
  put(run, 'lease', integer(terms(run).lease or lease_ms))
  put(run, 'sequence', '0')
  put(run, 'start', integer(run.start + 1))
  put(run, 'started', now_text)
  cease_waiting(run)
  if run.start ~= '1' then
    put(run, 'progress', UNTOUCHED)
    redis.call('HDEL', record_key(run.id), 'error', 'traceback')  -- of the attempt before
  end
  pace(run)
  move(run, 'take')
  commit(run)
end

-- `left` is the run that this slot has settled in the same step, if it stands there still.
function scripts.take(ARGV, left)
  local slot, nonce, lease_ms = ARGV[1], ARGV[2], ARGV[3]
  local key = slot_key(slot)
  local dead, last_nonce, held, held_token = unpack(redis.call('HMGET', key, 'dead', 'nonce', 'run', 'token'))
  if dead then
    return {'dead'}
  end
  local was_busy = held and held == left
  local holding = held and not was_busy and read_to_lease(held)
  if holding and holding.state == 'running' and holding.token == held_token then
    return last_nonce == nonce and lease(holding) or {'dead'}
  elseif last_nonce == nonce then
    return {'none', 0}
  end

  if something_is_due() then
    promote_due(DUE_AT_ONCE)
  end
  ARGV = partition.paused and without_paused(ARGV) or ARGV
  local run = best_unblocked(ARGV)
  if not run then
    leave_held(key, held)
    return run == false and {'none', 0} or nothing_to_take(ARGV)
  end
  start(run, slot, lease_ms)
  redis.call('HSET', key, 'nonce', nonce, 'run', run.id, 'token', run.token)
  if (last_nonce or held) and not was_busy then
    redis.call('PERSIST', key)
  end
  wake_others(ARGV, was_busy)
  return lease(run)
end
