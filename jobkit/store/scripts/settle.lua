-- settle: ends a start through its lease. One outcome is accepted, once; then the lease is over.
-- A failure is the run's end, or, where attempts are left and its worker asks for one, the wait for another.
-- Answers ok, ended (this token's run has ended: a resend, or a verdict that came first), lost or unknown.
-- ARGV: id, token, incarnation of the lease, outcome (succeeded, failed, cancelled, released), progress ('' leaves it), result,
--       the head of the failure, traceback, delay_ms and reason (of a release: not before; why), checkpoint ('' leaves
--       it), retry_ms (of a failure: not before; '': it is final), an incident to note or ''

local SETTLE = {}

function SETTLE.succeeded(run, told)
  put(run, 'result', told.result)
  move(run, 'succeed')
end

function SETTLE.failed(run, told)
  fail(run, told.failure_head, told.traceback, told.retry)
end

function SETTLE.cancelled(run)
  move(run, 'cancel')
end

-- Given back: no failure, no crash. A run that no worker knows how to perform goes round until its time is up.
function SETTLE.released(run, told)
  if run.cancelling == '1' then
    return move(run, 'cancel')
  end
  local since = tonumber(field(run, 'undeliverable_since') or '')
  if told.reason == '' then
    put(run, 'undeliverable_since', '')
  elseif not since then
    put(run, 'undeliverable_since', now_text)
  elseif now - since > terms(run).undeliverable then
    put(run, 'error', failure(run, told.failure_head))
    return move(run, 'fail')
  end
  void_token(run)
  if told.delay > 0 then
    put(run, 'due', integer(now + told.delay))
    move(run, 'postpone')
  else
    move(run, 'release')
  end
end

-- Whether the same was said before, and the run went on after it.
local function is_resend(id, token, outcome, retry)
  local kept = outcome == 'released' and 'voided' or (outcome == 'failed' and retry ~= '' and 'retried')
  return kept and redis.call('HGET', record_key(id), kept) == token
end

-- The slot that performed it is free, or takes something else at once (`slot`), and stays as it is. Answers whether it does.
local function leave_slot(run, slot)
  if run.slot ~= slot then
    vacate(run)
    return false
  end
  run.slot = nil
  return true
end

-- `slot` takes another run in the same step. Answers, too, the id of this run, if that slot still stands there as its own.
function scripts.settle(ARGV, slot)
  local id, token, incarnation, outcome, progress = unpack(ARGV, 1, 5)
  local run = read_run(id)
  if is_resend(id, token, outcome, ARGV[12]) then
    return 'ok'
  end
  local refused = refusal(run, token, incarnation)
  if refused then
    return refused
  end
  reclaim(run)
  if progress ~= '' then
    put(run, 'progress', progress)
  end
  note_incident(run, ARGV[13], ARGV[11] ~= '')
  local stays = leave_slot(run, slot)
  local result, failure_head, traceback, delay, reason, checkpoint, retry = unpack(ARGV, 6, 12)
  SETTLE[outcome](run, {
    result = result, failure_head = failure_head, traceback = traceback, delay = tonumber(delay), reason = reason,
    retry = retry,
  })
  if checkpoint ~= '' and not ended(run.state) then
    keep_checkpoint(run, checkpoint, token)
  end
  commit(run)
  return 'ok', stays and id
end
