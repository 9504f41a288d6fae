-- report: writes a newer progress, and a newer checkpoint, through the lease, and renews it.
-- Guarantees: an old token writes nothing; sequence numbers only rise, so a resend or a reordered report is skipped.
-- Answers {verdict (ok, cancel, ended, lost, unknown), 1 if somebody watches}.
-- ARGV: id, token, incarnation of the lease, sequence, progress, checkpoint or ''

-- Its lease ran out, and its slot has taken another run since: nobody would renew it if it were running again.
local function is_left(run, token)
  return run and run.state == 'queued' and run.token == token and run.slot and run.slot ~= ''
    and redis.call('HGET', slot_key(run.slot), 'token') ~= token
end

function scripts.report(ARGV)
  local id, token, incarnation, sequence, progress, checkpoint = unpack(ARGV)
  local run = read_run(id)
  local refused = is_left(run, token) and 'lost' or refusal(run, token, incarnation)
  if refused then
    return {refused, 0}
  end
  local tells = reclaim(run)
  if tonumber(sequence) > tonumber(run.sequence) then
    tells = true
    put(run, 'sequence', sequence)
    put(run, 'progress', progress)
    if checkpoint ~= '' then
      keep_checkpoint(run, checkpoint, token)
    end
  end
  extend(run)
  if tells then
    commit(run)
  end
  return {run.cancelling == '1' and 'cancel' or 'ok', tonumber(run.watched or '0') > now and 1 or 0}
end
