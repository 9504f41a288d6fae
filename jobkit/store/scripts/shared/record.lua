-- record: what is kept of a run, read once and written once in a script.

local function record_key(id)
  return P .. 'run:' .. id
end

local function field(run, name)
  return redis.call('HGET', record_key(run.id), name)
end

-- What moves a run, and what else its lease tells. (While a library is loaded there is neither `unpack` nor `ipairs`.)
local FIELDS = {
  'state', 'version', 'queue', 'key', 'score', 'start', 'crashes', 'lease', 'token', 'slot', 'sequence', 'cancelling',
  'interests', 'watched', 'limits', 'parked', 'checkpoint_by', 'terms',
  'work', 'failures', 'labels', 'job', 'created', 'priority', 'owner',
}
local MOVING = 18  -- so many of them

-- (One constructor, and no loop: this is the hottest step of all.) A field that was never written is false.
local function run_of(id, v)
  return v[1] and {
    id = id, changes = {}, state = v[1], version = v[2], queue = v[3], key = v[4], score = v[5], start = v[6] or '0',
    crashes = v[7] or '0', lease = v[8], token = v[9], slot = v[10], sequence = v[11], cancelling = v[12],
    interests = v[13], watched = v[14], limits = v[15], parked = v[16], checkpoint_by = v[17], terms = v[18],
    work = v[19], failures = v[20], labels = v[21], job = v[22], created = v[23], priority = v[24], owner = v[25],
  } or nil
end

-- What moves a run, or nil for an unknown one; what else its record keeps is read where it is needed.
local function read_run(id)
  return run_of(id, redis.call('HMGET', record_key(id), unpack(FIELDS, 1, MOVING)))
end

-- The same, and what its lease tells.
local function read_to_lease(id)
  return run_of(id, redis.call('HMGET', record_key(id), unpack(FIELDS)))
end

local function put(run, name, value)
  run[name] = value
  local changes = run.changes
  local last = #changes
  changes[last + 1], changes[last + 2] = name, value
end

-- What the next start goes on from, whose token it was made under, and how far the run was: what is told in the same step.
local function keep_checkpoint(run, text, token)
  put(run, 'checkpoint', text)
  put(run, 'checkpoint_by', token)
  put(run, 'checkpoint_at', run.progress or field(run, 'progress') or UNTOUCHED)
end

-- Nobody goes on with a run that has ended.
local function drop_checkpoint(run)
  if run.checkpoint_by then
    redis.call('HDEL', record_key(run.id), 'checkpoint', 'checkpoint_by', 'checkpoint_at')
  end
end

-- Writes what was put, under a newer version.
local function write(run)
  put(run, 'version', run.version + 1 > now and integer(run.version + 1) or now_text)
  put(run, 'updated', now_text)
  redis.call('HSET', record_key(run.id), unpack(run.changes))
  run.changes = {}
end

local MOST_TERMS = 200  -- texts whose meaning is kept: those of a class are the same for all its runs
local parsed, number_parsed = {}, 0

local function parse(text)
  if string.sub(text, 1, 1) == '{' then
    return cjson.decode(text)
  end
  local said, next_word = {}, string.gmatch(text, '%S+')  -- as format 1 wrote them
  for _, name in ipairs({'lease', 'max_attempts', 'max_crashes', 'keep', 'cache_ttl', 'undeliverable', 'public_result'}) do
    said[name] = tonumber(next_word())
  end
  return said
end

-- What the job's class said when a run was submitted: numbers by name, nil for none. Nobody writes into it.
local function parsed_terms(text)
  local said = parsed[text]
  if not said then
    said = parse(text)
    if number_parsed == MOST_TERMS then
      parsed, number_parsed = {}, 0
    end
    parsed[text], number_parsed = said, number_parsed + 1
  end
  return said
end

local function terms(run)
  run.said = run.said or parsed_terms(run.terms)
  return run.said
end
