-- release: a supervisor declares a slot dead, and gives back what it held, whatever the slot last told anybody.
-- Guarantees: the dead slot takes nothing more, even by a take that is still on its way.
-- With a token, only a slot that holds this very start is declared dead; any other is left alone, and answers idle.
-- Answers {verdict (ok, idle, lost), run}. A resend finds the slot empty: idle, or, with a token, ok.
-- ARGV: slot, how (crashed: the crash is counted; failed: the start has failed; handback: nothing is counted), the head of the
--       failure (of a spent crash budget), token or '', an incident to note or '',
--       retry_ms (of a failure that another attempt may follow; else '')

local function give_back(run, how, failure_head, incident, retry_ms)
  note_incident(run, incident)
  vacate(run)
  if how == 'failed' and run.cancelling ~= '1' then
    fail(run, failure_head, '', retry_ms)
    return commit(run)
  end
  void_token(run)
  if how == 'crashed' then
    crash(run, 'release', failure_head)
  elseif run.cancelling == '1' then
    move(run, 'cancel')
  else
    move(run, 'release')
  end
  commit(run)
end

function scripts.release(ARGV)
  local slot, how, failure_head, only, incident, retry_ms = unpack(ARGV)
  local key = slot_key(slot)
  local id, token, dead = unpack(redis.call('HMGET', key, 'run', 'token', 'dead'))
  if only ~= '' and token ~= only then
    return {dead and 'ok' or 'idle', ''}
  end
  redis.call('HSET', key, 'dead', '1')
  redis.call('PEXPIRE', key, SLOT_LIFE)
  if not id then
    return {'idle', ''}
  end
  local run = read_run(id)
  if refusal(run, token, partition.incarnation) then
    redis.call('HDEL', key, 'run', 'token')
    return {'lost', id}
  end
  reclaim(run)
  give_back(run, how, failure_head, incident, retry_ms)
  return {'ok', id}
end
