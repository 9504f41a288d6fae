-- incidents: what befell a run's starts, for its authors: the last ten, each a field `incident:N` of the record. Nothing is
-- read or written for a run that nothing befell.

local MOST_INCIDENTS = 10

local function incident_field(number)
  return 'incident:' .. integer(number)
end

-- `told` is a JSON object as its client encoded it, or ''. The store adds what it alone knows: when it was, which start and
-- attempt, who performed it, how far it was, and how far at the checkpoint that another start may go on from: an earlier one,
-- or one that is told in the same step.
local function note_incident(run, told, checkpoint)
  if told == '' then
    return
  end
  local failures, progress, kept_at = unpack(redis.call('HMGET', record_key(run.id), 'failures', 'progress', 'checkpoint_at'))
  progress = run.progress or progress or UNTOUCHED
  local number = (field(run, 'incidents') or 0) + 1
  put(run, 'incidents', integer(number))
  put(run, incident_field(number), table.concat({
    '{"at":', moment(now), ',"start":', run.start, ',"attempt":', integer((failures or 0) + 1), ',"slot":',
    cjson.encode(run.slot or ''), ',"progress":', progress,
    ',"checkpoint_at":', checkpoint and progress or kept_at or 'null', ',', string.sub(told, 2),
  }))
  redis.call('HDEL', record_key(run.id), incident_field(number - MOST_INCIDENTS))
end

-- Oldest first.
local function incidents(id)
  local last = tonumber(redis.call('HGET', record_key(id), 'incidents') or '0')
  local told = {}
  for number = math.max(1, last - MOST_INCIDENTS + 1), last do
    told[#told + 1] = redis.call('HGET', record_key(id), incident_field(number))
  end
  return told
end

-- (They may be large, and whoever waits for a result asks for no other.) False if there is none.
local function last_incident(id)
  local last = redis.call('HGET', record_key(id), 'incidents')
  return last and redis.call('HGET', record_key(id), incident_field(last))
end
