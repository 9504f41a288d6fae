-- snapshot: a run as its readers see it: the very bytes that a browser will get, joined from what the clients encoded.

local WORKER_SILENCE = 30000  -- ms without a heartbeat after which a worker is not counted

local function moment(ms)
  return ms and string.format('%.3f', ms / 1000) or 'null'
end

-- 1 is next. A run that waits for a limit has its place among those that wait for the same.
local function position(id, state, queue, parked)
  if state ~= 'queued' then
    return 'null'
  end
  local line = parked and parked ~= '' and 'parked:' .. parked .. ':' .. queue or 'ready:' .. queue
  local rank = redis.call('ZRANK', P .. line, id)
  return rank and integer(rank + 1) or 'null'
end

-- Whether it waits in a queue from which nothing is taken for now.
local function is_held_up(state, queue)
  return (state == 'queued' or state == 'scheduled') and is_paused(queue)
end

local function workers(state, queue)
  if ended(state) then
    return 'null'
  end
  return integer(redis.call('ZCOUNT', P .. 'workers:' .. queue, now - WORKER_SILENCE, '+inf'))
end

-- When a scheduled run may start.
local function due_at(id, state)
  return moment(state == 'scheduled' and redis.call('ZSCORE', P .. 'due', id))
end

-- Of an end, or of the attempt that the next one waits for.
local function problem_part(state, problem)
  return problem and (state == 'failed' or state == 'scheduled') and problem or 'null'
end

local function result_part(id, state, public)
  if state ~= 'succeeded' then
    return '"result":null,"result_inline":true,"result_url":null'
  end
  local size = public and redis.call('HSTRLEN', record_key(id), 'result') or LARGEST_INLINE_RESULT + 1
  if size > LARGEST_INLINE_RESULT then
    return '"result":null,"result_inline":false,"result_url":null'
  end
  return '"result":' .. redis.call('HGET', record_key(id), 'result') .. ',"result_inline":true,"result_url":null'
end

-- How far it has come with ending a run that goes on. (What is marked of a start names its token.)
local function stopping(state, cancelling, killing, token)
  if state == 'running' and killing and killing == token then
    return '"killing"'
  end
  return cancelling == '1' and not ended(state) and '"cancelling"' or 'null'
end

-- The snapshot of a run as its record stands, or nil for an unknown one.
local function snapshot(id)
  local job, head, state, version, start, failures, class_terms, progress, queue, parked, cancelling, created, started, updated,
    finished, problem, token, stalled, killing = unpack(redis.call('HMGET', record_key(id),
      'job', 'head', 'state', 'version', 'start', 'failures', 'terms', 'progress', 'queue', 'parked', 'cancelling', 'created',
      'started', 'updated', 'finished', 'error', 'token', 'stalled', 'killing'))
  if not state then
    return nil
  end
  local said = parsed_terms(class_terms)
  local over = ended(state)
  return table.concat({
    '{"id":"', id, '","job":', job or string.match(head, '"job":(.*)'), ',"state":"', state, '","version":', version, ',"start":', start or '0',
    ',"attempt":', integer((failures or 0) + 1), ',"max_attempts":', said.max_attempts,
    ',"progress":', progress or UNTOUCHED,
    ',"queue":{"name":"', queue, '","position":', position(id, state, queue, parked), ',"workers":', workers(state, queue),
    ',"paused":', is_held_up(state, queue) and 'true' or 'false',
    '},"cancellable":', (over or cancelling == '1') and 'false' or 'true',
    ',"stopping":', stopping(state, cancelling, killing, token),
    ',"stalled":', state == 'running' and stalled == token and 'true' or 'false',
    ',"created_at":', moment(created), ',"started_at":', moment(started),
    ',"updated_at":', moment(updated), ',"finished_at":', moment(finished),
    ',"due_at":', due_at(id, state),
    ',', result_part(id, state, said.public_result == 1), ',"error":', problem_part(state, problem),
    ',"retry_of":', said.retry_of and '"' .. said.retry_of .. '"' or 'null', '}',
  })
end

-- Writes, and tells the watchers, if there ever was one: whoever subscribes says so (`load`) before relying on it.
local function commit(run)
  write(run)
  if run.watched then
    redis.call('PUBLISH', P .. 'snapshots:' .. run.id, snapshot(run.id))
  end
end
