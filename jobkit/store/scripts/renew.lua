-- renew: a worker's heartbeat. Counts the worker as serving its queues, and renews the lease of each of its slots.
-- Answers the partition's incarnation and server, then four values a slot: slot, verdict, run, token.
-- Verdicts: idle, ok, cancel (stop it), ended, lost. A resend renews again. ARGV: worker, number of queues, queues…, slots…

local function verdict(run, token)
  local refused = refusal(run, token, partition.incarnation)
  if refused then
    return refused
  end
  if reclaim(run) then
    commit(run)
  else
    extend(run)
  end
  return run.cancelling == '1' and 'cancel' or 'ok'
end

local function count_as_serving(worker, queue)
  local serving = P .. 'workers:' .. queue
  redis.call('ZREMRANGEBYSCORE', serving, '-inf', now - WORKER_SILENCE)
  redis.call('ZADD', serving, now, worker)
  redis.call('PEXPIRE', serving, WORKER_SILENCE * 2)
end

function scripts.renew(ARGV)
  local worker, queues = ARGV[1], tonumber(ARGV[2])
  for i = 3, 2 + queues do
    count_as_serving(worker, ARGV[i])
  end
  local answers = {partition.incarnation, partition.server}
  for i = 3 + queues, #ARGV do
    local slot = ARGV[i]
    local holds = redis.call('HMGET', slot_key(slot), 'run', 'token')
    local id, token, last = holds[1] or '', holds[2] or '', #answers
    answers[last + 1], answers[last + 3], answers[last + 4] = slot, id, token
    answers[last + 2] = id == '' and 'idle' or verdict(read_run(id), token)
  end
  return answers
end
