-- submit: admits a run, or finds the one that already answers.
-- Guarantees: at most one live run per cache key, however many submit at once; the interest is counted in the same step.
-- Answers {admission, id, result or nil}. A resend (same id) answers the run it made.
-- ARGV: id; then what the record keeps, in the order of GIVEN, '' for none; then interest, owner, reuse, priority, delay_ms,
--       at_ms
-- `head` begins the snapshot; `terms` are what the class says; `work` is for the worker, and not looked into here.
local GIVEN = {'head', 'queue', 'key', 'terms', 'work', 'tags'}
local id, key = ARGV[1], ARGV[4]
local interest, owner, reuse, priority, delay, at = unpack(ARGV, 2 + #GIVEN)

local function answer(admission, run)
  local result = run.state == 'succeeded' and field(run, 'result')
  return {admission, run.id, result or false}
end

local function own(run)
  if owner ~= '' then
    redis.call('HSET', record_key(run.id), 'owner:' .. owner, '1')
  end
end

-- A stake in the run, counted once by its name; one that was withdrawn counts again.
local function stake(run)
  local name = 'interest:' .. interest
  if field(run, name) ~= '1' then
    redis.call('HSET', record_key(run.id), name, '1')
    redis.call('HINCRBY', record_key(run.id), 'interests', 1)
  end
end

-- (A run that is being cancelled is not pointed to any more.)
local function live_run(names)
  local run = names[1] and read_run(names[1])
  if run and not ENDED[run.state] and (reuse == 'any' or run.start == '0') then
    return run
  end
end

local function fresh_memo(names)
  local run = reuse == 'any' and names[2] and read_run(names[2])
  if run and run.state == 'succeeded' and tonumber(run.fresh_until or '0') > now then
    return run
  end
end

-- This run is the only joinable one of its key from now on; an older memo still answers when it fails.
local function point(names)
  redis.call('HSET', P .. 'key:' .. key, 'live', id)
  if names[2] then
    redis.call('PERSIST', P .. 'key:' .. key)
  end
end

local function new_run()
  local run = {id = id, changes = {}, state = 'unknown', version = '0', start = '0'}
  for i, name in ipairs(GIVEN) do
    if ARGV[1 + i] ~= '' then
      put(run, name, ARGV[1 + i])
    end
  end
  put(run, 'created', integer(now))
  put(run, 'interests', '1')
  put(run, 'interest:' .. interest, '1')
  if owner ~= '' then
    put(run, 'owner:' .. owner, '1')
  end
  return run
end

if redis.call('EXISTS', record_key(id)) == 1 then
  return answer('new', read_run(id))
end

local shared = key ~= '' and reuse ~= 'none'
local names = shared and redis.call('HMGET', P .. 'key:' .. key, 'live', 'memo')
if shared then
  local live = live_run(names)
  if live then
    own(live)
    stake(live)
    return answer('joined', live)
  end
  local memo = fresh_memo(names)
  if memo then
    own(memo)
    return answer('cached', memo)
  end
end

local run = new_run()
local start_at = at ~= '' and tonumber(at) or (now + tonumber(delay))
-- (To the microsecond: what was submitted first in one millisecond is also taken first.)
put(run, 'score', string.format('%.3f', math.max(start_at, now_us / 1000) - tonumber(priority) * HEAD_START))
if shared then
  point(names)
end
redis.call('ZADD', P .. 'runs', run.created, id)
if start_at > now then
  put(run, 'due', integer(start_at))
  move(run, 'defer')
else
  move(run, 'admit')
end
write(run)
return answer('new', run)
