-- leases: the right to write. It is data, judged by the partition's time, and its token is the only key to it.

-- The one guard before every write of a holder. Answers nil when the token may write, else why not:
-- `ended`; `lost`: somebody else's, or nobody's; `unknown`: this store is another one, or an older copy of the one that gave
-- the token, so the holder may assert its run anew (`reassert`).
local function refusal(run, token, incarnation)
  if not run then
    return incarnation == partition.incarnation and 'lost' or 'unknown'
  elseif ended(run.state) then
    return run.token == token and 'ended' or 'lost'
  elseif (tonumber(token) or 0) > tonumber(run.token or '0') then
    return 'unknown'  -- newer than any that this store has given for the run
  elseif run.token ~= token then
    return 'lost'
  elseif run.state ~= 'running' and run.state ~= 'queued' then
    return 'lost'
  end
  return nil
end

-- A lease that ran out, but was taken by nobody, is its holder's again, and its crash is not counted. Answers whether it had.
local function reclaim(run)
  if run.state ~= 'queued' then
    return false
  end
  put(run, 'crashes', integer(run.crashes - 1))
  move(run, 'resume')
  return true
end

local function extend(run)
  redis.call('ZADD', P .. 'leases', integer(now + run.lease), run.id)
end

-- The token is void from here on; the voided one is kept, to answer a repeated release as the first.
local function void_token(run)
  put(run, 'voided', run.token)
  put(run, 'token', tick())
  put(run, 'slot', '')
end

-- A reference a person can read to support: the end of the run's id and the start.
local function failure(run, failure_head)
  return failure_head .. string.sub(run.id, -8) .. '-' .. run.start .. '"}'
end

-- This start failed: another attempt after `retry_ms` ('' for none), where one is left and nobody stops the run; else the end.
-- What went wrong is told until the next attempt begins. (It would be told of a lost worker, too: so a take removes it.)
local function fail(run, failure_head, traceback, retry_ms)
  local failures = (field(run, 'failures') or 0) + 1
  put(run, 'error', failure(run, failure_head))
  put(run, 'traceback', traceback)
  if retry_ms == '' or run.cancelling == '1' or failures >= terms(run).max_attempts then
    return move(run, 'fail')
  end
  put(run, 'failures', integer(failures))
  put(run, 'undeliverable_since', '')
  put(run, 'retried', run.token)
  void_token(run)
  put(run, 'due', integer(now + retry_ms))
  move(run, 'retry')
end

-- One more worker was lost over this run: back into the queue (by `name`), or the end when its crash budget is spent,
-- or when it was to stop anyway.
local function crash(run, name, failure_head)
  put(run, 'crashes', integer(run.crashes + 1))
  if run.cancelling == '1' then
    move(run, 'cancel')
  elseif tonumber(run.crashes) > terms(run).max_crashes then
    put(run, 'error', failure(run, failure_head))
    put(run, 'lost', '1')
    move(run, 'fail')
  else
    move(run, name)
  end
end
