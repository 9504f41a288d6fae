-- settle: ends a start through its lease. One outcome is accepted, once; then the lease is over.
-- Answers ok, ended (this token's run has ended: a resend, or a verdict that came first) or lost.
-- ARGV: id, token, outcome (succeeded, failed, cancelled, released), progress ('' leaves it), result, error, traceback,
--       delay_ms and reason (of a release: not before; why)
local id, token, outcome, progress, result, problem, traceback = unpack(ARGV, 1, 7)
local delay, reason = tonumber(ARGV[8]), ARGV[9]

local SETTLE = {}

function SETTLE.succeeded(run)
  put(run, 'result', result)
  move(run, 'succeed')
end

function SETTLE.failed(run)
  put(run, 'error', failure(run, problem))
  put(run, 'traceback', traceback)
  move(run, 'fail')
end

function SETTLE.cancelled(run)
  move(run, 'cancel')
end

-- Given back: no failure, no crash. A run that no worker knows how to perform goes round until its time is up.
function SETTLE.released(run)
  if run.cancelling == '1' then
    return move(run, 'cancel')
  end
  local returned = tonumber(field(run, 'returned') or '')
  if reason == '' then
    put(run, 'returned', '')
  elseif not returned then
    put(run, 'returned', integer(now))
  elseif now - returned > terms(run).undeliverable then
    put(run, 'error', failure(run, problem))
    return move(run, 'fail')
  end
  void(run)
  put(run, 'due', integer(now + delay))
  move(run, delay > 0 and 'postpone' or 'release')
end

local run = read_run(id)
if run and run.released == token and outcome == 'released' then
  return 'ok'
end
local refused = refusal(run, token)
if refused then
  return refused
end
if progress ~= '' then
  put(run, 'progress', progress)
end
vacate(run)
SETTLE[outcome](run)
commit(run)
return 'ok'
