-- renew: a worker's heartbeat. Counts the worker as serving its queues, and renews the lease of each of its slots.
-- Answers four values a slot: slot, verdict, run, token. Verdicts: idle, ok, cancel (stop it), ended, lost.
-- A resend renews again. ARGV: worker, number of queues, queues…, slots…
local worker, queues = ARGV[1], tonumber(ARGV[2])

local function verdict(run, token)
  local refused = refusal(run, token)
  if refused then
    return refused
  end
  if #run.changes > 0 then
    commit(run)
  else
    extend(run)
  end
  return run.cancelling == '1' and 'cancel' or 'ok'
end

for i = 3, 2 + queues do
  local serving = P .. 'workers:' .. ARGV[i]
  redis.call('ZREMRANGEBYSCORE', serving, '-inf', now - WORKER_SILENCE)
  redis.call('ZADD', serving, now, worker)
  redis.call('PEXPIRE', serving, WORKER_SILENCE * 2)
end

local answers = {}
for i = 3 + queues, #ARGV do
  local slot = ARGV[i]
  local holds = redis.call('HMGET', slot_key(slot), 'run', 'token')
  local id, token = holds[1] or '', holds[2] or ''
  answers[#answers + 1] = slot
  answers[#answers + 1] = id == '' and 'idle' or verdict(read_run(id), token)
  answers[#answers + 1] = id
  answers[#answers + 1] = token
end
return answers
