-- report: writes a newer progress through the lease, and renews it.
-- Guarantees: an old token writes nothing; sequence numbers only rise, so a resend or a reordered report is skipped.
-- Answers {verdict (ok, cancel, ended, lost), 1 if somebody watches}. ARGV: id, token, sequence, progress
local run = read_run(ARGV[1])
local refused = refusal(run, ARGV[2])
if refused then
  return {refused, 0}
end
if tonumber(ARGV[3]) > tonumber(run.sequence) then
  put(run, 'sequence', ARGV[3])
  put(run, 'progress', ARGV[4])
end
extend(run)
if #run.changes > 0 then
  commit(run)
end
return {run.cancelling == '1' and 'cancel' or 'ok', tonumber(run.watched or '0') > now and 1 or 0}
