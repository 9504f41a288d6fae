-- What every script shares: the partition's clock, a run's record and snapshot, and the moves between states.
--
-- A script first reads and decides, then writes: what it needs to touch is touched before its first write, so an error
-- (a slot that is migrating, a server out of memory) leaves nothing half done. It is sent again when its reply was
-- lost, and then must answer as it did, so each is idempotent by a name its caller made. Only the server's clock counts.
-- What Python knows too is put above this text: the transition table (NEXT, ENDED; drawn in jobkit/lifecycle.py),
-- UNTOUCHED (the progress of a run that has made none), LARGEST_INLINE_RESULT and TERMS.

local BELL_MARKERS = 64         -- enough to wake every idle child of a host; more only makes empty looks
local BELL_LIFE = 60000         -- ms; a lost marker costs an idle worker's next look, never a run
local SLOT_LIFE = 86400000      -- ms; what a free or dead slot remembers (its last nonce, its death) outlives any message
local WORKER_SILENCE = 30000    -- ms without a heartbeat after which a worker is not counted
local HEAD_START = 60000        -- ms one step of priority is worth in the queue

local P = string.sub(KEYS[1], 1, -10)  -- "{namespace:0}:" of "{namespace:0}:partition"
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)
local partition = redis.call('HMGET', KEYS[1], 'incarnation', 'clock')
if not partition[1] then
  return redis.error_reply('NOPARTITION this partition is not open yet')
end

local function integer(number)
  return string.format('%.0f', number)
end

-- A new stamp of the partition's clock: above every earlier one, whatever the server's clock did.
local function tick()
  local clock = integer(math.max(tonumber(partition[2] or '0') + 1, now_us))
  partition[2] = clock
  redis.call('HSET', KEYS[1], 'clock', clock)
  return clock
end

-- Records ------------------------------------------------------------------------------------------------------------

local function record_key(id)
  return P .. 'run:' .. id
end

local function field(run, name)
  return redis.call('HGET', record_key(run.id), name)
end

-- What the job's class said when it was submitted: numbers by the names in TERMS, nil for none. (Sent and kept as one
-- text: fields are what a submission costs most.)
local function parsed_terms(text)
  local said, i = {}, 0
  for word in string.gmatch(text, '%S+') do
    i = i + 1
    said[TERMS[i]] = tonumber(word)
  end
  return said
end

local function terms(run)
  run.said = run.said or parsed_terms(field(run, 'terms'))
  return run.said
end

-- What moves a run, or nil for an unknown one; what else its record keeps is read where it is needed. (One constructor,
-- and no loop: this is the hottest step of all.) A field that was never written is false.
local function read_run(id)
  local v = redis.call('HMGET', record_key(id), 'state', 'version', 'queue', 'key', 'score', 'start', 'crashes', 'lease',
    'token', 'slot', 'sequence', 'cancelling', 'interests', 'watched', 'fresh_until', 'released')
  return v[1] and {
    id = id, changes = {}, state = v[1], version = v[2], queue = v[3], key = v[4], score = v[5], start = v[6] or '0',
    crashes = v[7] or '0', lease = v[8], token = v[9], slot = v[10], sequence = v[11], cancelling = v[12],
    interests = v[13], watched = v[14], fresh_until = v[15], released = v[16],
  } or nil
end

local function put(run, name, value)
  run[name] = value
  local changes = run.changes
  local last = #changes
  changes[last + 1], changes[last + 2] = name, value
end

-- Snapshots: the bytes that a browser will get, joined from what the clients encoded ----------------------------------

local function moment(ms)
  return ms and string.format('%.3f', tonumber(ms) / 1000) or 'null'
end

local function boolean(value)
  return value and 'true' or 'false'
end

local function position(id, state, queue)
  local rank = state == 'queued' and redis.call('ZRANK', P .. 'ready:' .. queue, id)
  return rank and integer(rank + 1) or 'null'
end

local function workers(state, queue)
  if ENDED[state] then
    return 'null'
  end
  return integer(redis.call('ZCOUNT', P .. 'workers:' .. queue, now - WORKER_SILENCE, '+inf'))
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

-- The snapshot of a run as its record stands, or nil for an unknown one.
local function snapshot(id)
  local head, state, version, start, failures, class_terms, progress, queue, cancelling, created, started, updated,
    finished, problem = unpack(redis.call('HMGET', record_key(id),
      'head', 'state', 'version', 'start', 'failures', 'terms', 'progress', 'queue', 'cancelling', 'created', 'started',
      'updated', 'finished', 'error'))
  if not state then
    return nil
  end
  local said = parsed_terms(class_terms)
  return table.concat({
    head, ',"state":"', state, '","version":', version, ',"start":', start or '0',
    ',"attempt":', integer(tonumber(failures or '0') + 1), ',"max_attempts":', said.max_attempts,
    ',"progress":', progress or UNTOUCHED,
    ',"queue":{"name":', cjson.encode(queue), ',"position":', position(id, state, queue), ',"workers":', workers(state, queue), '}',
    ',"cancellable":', boolean(not ENDED[state] and cancelling ~= '1'), ',"stalled":false',
    ',"created_at":', moment(created), ',"started_at":', moment(started),
    ',"updated_at":', moment(updated), ',"finished_at":', moment(finished),
    ',', result_part(id, state, said.public_result == 1), ',"error":', problem or 'null', '}',
  })
end

-- Writes what was put, under a newer version.
local function write(run)
  put(run, 'version', integer(math.max(tonumber(run.version) + 1, now)))
  put(run, 'updated', integer(now))
  redis.call('HSET', record_key(run.id), unpack(run.changes))
  run.changes = {}
end

-- Writes, and tells the watchers, if there ever was one: whoever subscribes says so (`load`) before relying on it.
local function commit(run)
  write(run)
  if run.watched then
    redis.call('PUBLISH', P .. 'snapshots:' .. run.id, snapshot(run.id))
  end
end

-- Waking workers -----------------------------------------------------------------------------------------------------

local function ring(queue)
  local bell = P .. 'bell:' .. queue
  if redis.call('LLEN', bell) < BELL_MARKERS and redis.call('RPUSH', bell, '1') == 1 then
    redis.call('PEXPIRE', bell, BELL_LIFE)
  end
end

-- The pointer of a cache key: `live` (joinable) and `memo` (answers) ---------------------------------------------------

local function pointer_key(run)
  return P .. 'key:' .. run.key
end

-- Failure, cancel and loss clear `live` only; an older memo keeps its own end.
local function unpoint(run)
  if not run.key then
    return
  end
  local names = redis.call('HMGET', pointer_key(run), 'live', 'memo')
  if names[1] ~= run.id then
    return
  end
  local left = names[2] and redis.call('PTTL', record_key(names[2])) or 0
  if left > 0 then
    redis.call('HDEL', pointer_key(run), 'live')
    redis.call('PEXPIRE', pointer_key(run), left)
  else
    redis.call('DEL', pointer_key(run))
  end
end

-- Success moves `live` to `memo`, for as long as the value may answer.
local function remember(run)
  if not run.key or redis.call('HGET', pointer_key(run), 'live') ~= run.id then
    return
  end
  local ttl = terms(run).cache_ttl
  if not ttl then
    return unpoint(run)
  end
  put(run, 'fresh_until', integer(now + ttl))
  redis.call('HSET', pointer_key(run), 'memo', run.id)
  redis.call('HDEL', pointer_key(run), 'live')
  redis.call('PEXPIRE', pointer_key(run), integer(ttl))
end

-- Slots: what a worker's child holds. A slot that holds a run has no TTL; one that is free, dead or too late has ----------

local function slot_key(slot)
  return P .. 'slot:' .. slot
end

-- The key of the slot that holds this start, if one still does.
local function holding_slot(run)
  if not run.slot or run.slot == '' then
    return nil
  end
  local key = slot_key(run.slot)
  return redis.call('HGET', key, 'token') == run.token and key
end

-- The slot is free for its next take.
local function vacate(run)
  local key = holding_slot(run)
  if key then
    redis.call('HDEL', key, 'run', 'token')
    redis.call('PEXPIRE', key, SLOT_LIFE)
  end
  run.slot = nil
end

-- The run goes on or ends without this holder, who hears so at its next renewal.
local function desert(run)
  local key = holding_slot(run)
  if key then
    redis.call('PEXPIRE', key, SLOT_LIFE)
  end
end

-- Moves: a state changes here and nowhere else, and with it every set the run stands in --------------------------------

local function leave(run, set)
  redis.call('ZREM', set, run.id)
  redis.call('ZREM', P .. 'state:' .. run.state, run.id)
end

local LEAVE = {
  unknown = function() end,
  scheduled = function(run) leave(run, P .. 'due') end,
  queued = function(run) leave(run, P .. 'ready:' .. run.queue) end,
  running = function(run) leave(run, P .. 'leases') end,
}

local function enter_ended(run)
  desert(run)
  put(run, 'finished', integer(now))
  if run.state == 'succeeded' then
    remember(run)
  else
    unpoint(run)
  end
  local keep = math.max(terms(run).keep, tonumber(run.fresh_until or '0') - now, 1)
  redis.call('PEXPIRE', record_key(run.id), integer(keep))
  redis.call('ZADD', P .. 'forget', integer(now + keep), run.id)
end

local ENTER = {
  scheduled = function(run) redis.call('ZADD', P .. 'due', run.due, run.id) end,
  queued = function(run)
    redis.call('ZADD', P .. 'ready:' .. run.queue, run.score, run.id)
    ring(run.queue)
  end,
  running = function(run) redis.call('ZADD', P .. 'leases', integer(now + tonumber(run.lease)), run.id) end,
  succeeded = enter_ended,
  failed = enter_ended,
  cancelled = enter_ended,
}

-- Ids whose records are gone leave every index.
local function forget(ids)
  redis.call('ZREM', P .. 'runs', unpack(ids))
  for state in pairs(ENTER) do
    redis.call('ZREM', P .. 'state:' .. state, unpack(ids))
  end
end

local function move(run, name)
  local from = run.state
  local to = NEXT[from] and NEXT[from][name]
  if not to then
    error('no move "' .. name .. '" from "' .. from .. '" for run ' .. run.id)
  end
  LEAVE[from](run)
  put(run, 'state', to)
  redis.call('ZADD', P .. 'state:' .. to, integer(now), run.id)
  ENTER[to](run)
end

-- Schedules ------------------------------------------------------------------------------------------------------------

local function promote_due(limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, limit)) do
    local run = read_run(id)
    if run then
      move(run, 'due')
      commit(run)
    else
      redis.call('ZREM', P .. 'due', id)
      forget({id})
    end
  end
end

-- In ms from now; -1 when nothing is scheduled.
local function next_due()
  local head = redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
  return head[2] and math.max(0, tonumber(head[2]) - now) or -1
end

-- Leases ---------------------------------------------------------------------------------------------------------------

-- The one guard before every write of a holder. Answers nil when the token may write, else why not: `lost` or `ended`.
-- A lease that ran out, but was taken by nobody, is the holder's again, and its crash is not counted.
local function refusal(run, token)
  if not run or run.token ~= token or token == '' then
    return 'lost'
  elseif ENDED[run.state] then
    return 'ended'
  elseif run.state == 'queued' then
    move(run, 'resume')
    put(run, 'crashes', integer(tonumber(run.crashes) - 1))
  elseif run.state ~= 'running' then
    return 'lost'
  end
  return nil
end

local function extend(run)
  redis.call('ZADD', P .. 'leases', integer(now + tonumber(run.lease)), run.id)
end

-- The token is void from here on; the voided one is kept, to answer a repeated release as the first.
local function void(run)
  vacate(run)
  put(run, 'released', run.token)
  put(run, 'token', tick())
  put(run, 'slot', '')
end

-- A reference a person can read to support: the end of the run's id and the start.
local function failure(run, head)
  return head .. string.sub(run.id, -8) .. '-' .. run.start .. '"}'
end

-- One more worker was lost over this run: back into the queue (by `name`), or the end when its crash budget is spent,
-- or when it was to stop anyway.
local function crash(run, name, lost)
  put(run, 'crashes', integer(tonumber(run.crashes) + 1))
  if run.cancelling == '1' then
    move(run, 'cancel')
  elseif tonumber(run.crashes) > terms(run).max_crashes then
    put(run, 'error', failure(run, lost))
    put(run, 'lost', '1')
    move(run, 'fail')
  else
    move(run, name)
  end
end
