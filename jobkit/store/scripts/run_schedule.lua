-- run_schedule: submits what a schedule is for now, whatever its ticks are, and also while it is paused.
-- Answers as `submit` does, or nothing for an unknown schedule. A resend (same id) answers the run it made. ARGV: name, id

function scripts.run_schedule(ARGV)
  local name, id = unpack(ARGV)
  local next_tick = redis.call('HGET', schedule_key(name), 'next')
  if not next_tick or next_tick == '' then
    return {}
  end
  local answer = scripts.submit(submission_of(name, id, ''))
  if answer[1] ~= 'full' then
    note_run(name, answer[2])
  end
  return answer
end
