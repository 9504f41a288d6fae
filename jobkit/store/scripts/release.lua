-- release: a supervisor declares a slot dead, and gives back what it held, whatever the slot last told anybody.
-- Guarantees: the dead slot takes nothing more, even by a take that is still on its way.
-- With a token, only a slot that holds this very start is declared dead; any other is left alone, and answers idle.
-- Answers {verdict (ok, idle, lost), run}. A resend finds the slot empty: idle, or, with a token, ok.
-- ARGV: slot, how (crashed: counted; handback: not counted), error head for a spent crash budget, token or ''
local slot, how, lost, only = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = slot_key(slot)
local holds = redis.call('HMGET', key, 'run', 'token', 'dead')
local run = holds[1] and read_run(holds[1])
if only ~= '' and holds[2] ~= only then
  return {holds[3] and 'ok' or 'idle', ''}
end
redis.call('HSET', key, 'dead', '1')
redis.call('PEXPIRE', key, SLOT_LIFE)
if not holds[1] then
  return {'idle', ''}
end
if refusal(run, holds[2]) then
  redis.call('HDEL', key, 'run', 'token')
  return {'lost', holds[1]}
end
void(run)
if how == 'crashed' then
  crash(run, 'release', lost)
elseif run.cancelling == '1' then
  move(run, 'cancel')
else
  move(run, 'release')
end
commit(run)
return {'ok', run.id}
