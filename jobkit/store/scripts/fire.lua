-- fire: submits what a schedule's tick is for, and turns to the tick that follows, in one step.
-- Guarantees: a tick is fired once, by whoever comes first, and never before its time; never while the schedule is paused, or
-- was declared otherwise. The run's id is made from the tick, so a store that has forgotten that it fired, and still has the
-- run, makes no second one. Without an id the tick is passed over, if `tick` is the last one that was fired: so a copy of
-- that which comes late, when ticks have been fired since, brings none of these back.
-- Answers {fired, id of the run that answers, its admission}, {passed}, {early}, {paused}, or {full, ms until the queue may
-- have room}. A resend (same id) answers as the first. ARGV: name, mark, expected next, tick, following, id

function scripts.fire(ARGV)
  local name, mark, expected, tick, following, id = unpack(ARGV)
  local key = schedule_key(name)
  local known_mark, next_tick, paused, fired, last_run, last_tick =
    unpack(redis.call('HMGET', key, 'mark', 'next', 'paused', 'fired', 'last_run', 'last_tick'))
  if fired == id then
    return {'fired', last_run, 'new'}
  elseif known_mark ~= mark or next_tick ~= expected then
    return {'passed'}
  elseif paused == '1' then
    return {'paused'}
  elseif id == '' then
    if (last_tick or '') == tick then
      redis.call('HSET', key, 'next', following)
    end
    return {'passed'}
  elseif tonumber(tick) > now then
    return {'early'}
  end
  local admission, run_id, _, _, ms = unpack(scripts.submit(submission_of(name, id, tick)), 1, 5)
  if admission == 'full' then
    return {'full', ms}
  end
  redis.call('HSET', key, 'next', following, 'last_tick', tick, 'fired', id)
  note_run(name, run_id)
  return {'fired', run_id, admission}
end
