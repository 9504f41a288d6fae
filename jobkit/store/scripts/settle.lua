-- settle: ends a start through its lease. One outcome is accepted, once; then the lease is over.
-- Answers ok, ended (this token's run has ended: a resend, or a verdict that came first), lost or unknown.
-- ARGV: id, token, incarnation of the lease, outcome (succeeded, failed, cancelled, released), progress ('' leaves it), result,
--       error, traceback, delay_ms and reason (of a release: not before; why)

local SETTLE = {}

function SETTLE.succeeded(run, said)
  put(run, 'result', said.result)
  move(run, 'succeed')
end

function SETTLE.failed(run, said)
  put(run, 'error', failure(run, said.problem))
  put(run, 'traceback', said.traceback)
  move(run, 'fail')
end

function SETTLE.cancelled(run)
  move(run, 'cancel')
end

-- Given back: no failure, no crash. A run that no worker knows how to perform goes round until its time is up.
function SETTLE.released(run, said)
  if run.cancelling == '1' then
    return move(run, 'cancel')
  end
  local returned = tonumber(field(run, 'returned') or '')
  if said.reason == '' then
    put(run, 'returned', '')
  elseif not returned then
    put(run, 'returned', now_text)
  elseif now - returned > terms(run).undeliverable then
    put(run, 'error', failure(run, said.problem))
    return move(run, 'fail')
  end
  void(run)
  put(run, 'due', integer(now + said.delay))
  move(run, said.delay > 0 and 'postpone' or 'release')
end

function scripts.settle(ARGV)
  local id, token, incarnation, outcome, progress = unpack(ARGV, 1, 5)
  local run = read_run(id)
  if outcome == 'released' and redis.call('HGET', record_key(id), 'released') == token then
    return 'ok'
  end
  local refused = refusal(run, token, incarnation)
  if refused then
    return refused
  end
  if progress ~= '' then
    put(run, 'progress', progress)
  end
  vacate(run)
  local result, problem, traceback, delay, reason = unpack(ARGV, 6, 10)
  SETTLE[outcome](run, {result = result, problem = problem, traceback = traceback, delay = tonumber(delay), reason = reason})
  commit(run)
  return 'ok'
end
