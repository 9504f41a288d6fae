-- submit: admits a run, or finds the one that already answers.
-- Guarantees: at most one live run per cache key, however many submit at once; the interest is counted in the same step.
-- Answers {admission, id, snapshot, result or nil, secret}. A resend (same id) answers the run it made.
-- ARGV: id, head, job, queue, queue_json, key, args, priority, delay_ms, at_ms, lease, max_attempts, max_crashes, keep,
--       cache_ttl, undeliverable, public, cache_version, interest, owner, reuse, progress, tags
local id, head, job, queue, queue_json, key, args = unpack(ARGV, 1, 7)
local priority, delay, at = tonumber(ARGV[8]), ARGV[9], ARGV[10]
local interest, owner, reuse, progress = unpack(ARGV, 19, 22)

local function answer(admission, run, text)
  local result = nil
  if run.state == 'succeeded' then
    result = redis.call('HGET', record_key(run.id), 'result')
  end
  return {admission, run.id, text or snapshot(run), result or false, partition[3]}
end

local function own(run)
  if owner ~= '' then
    redis.call('HSET', record_key(run.id), 'owner:' .. owner, '1')
  end
end

-- A stake in the run, counted once by its name; one that was withdrawn counts again.
local function stake(run)
  local field = 'interest:' .. interest
  if redis.call('HGET', record_key(run.id), field) ~= '1' then
    redis.call('HSET', record_key(run.id), field, '1')
    redis.call('HINCRBY', record_key(run.id), 'interests', 1)
  end
end

local function live_run(names)
  local run = names[1] and read_run(names[1])
  if run and not ENDED[run.state] and run.cancelling ~= '1' and (reuse == 'any' or run.start == '0') then
    return run
  end
end

local function fresh_memo(names)
  local run = reuse == 'any' and names[2] and read_run(names[2])
  if run and run.state == 'succeeded' and tonumber(run.fresh_until or '0') > now then
    return run
  end
end

local made = read_run(id)
if made then
  return answer('new', made)
end

local shared = key ~= '' and reuse ~= 'none'
if shared then
  local names = redis.call('HMGET', P .. 'key:' .. key, 'live', 'memo')
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

local run = {
  id = id, state = 'unknown', changes = {}, version = '0', head = head, queue = queue, queue_json = queue_json, key = key,
  start = '0', failures = '0', crashes = '0', max_attempts = ARGV[12], max_crashes = ARGV[13], own_lease = ARGV[11],
  keep = ARGV[14], cache_ttl = ARGV[15], undeliverable = ARGV[16], public = ARGV[17], progress = progress,
  created = integer(now),
}
local start_at = at ~= '' and tonumber(at) or (now + tonumber(delay))
put(run, 'score', integer(math.max(start_at, now) - priority * HEAD_START))
put(run, 'due', integer(start_at))
redis.call('HSET', record_key(id),
  'head', head, 'job', job, 'queue', queue, 'queue_json', queue_json, 'key', key, 'args', args, 'start', '0',
  'failures', '0', 'crashes', '0', 'max_attempts', ARGV[12], 'max_crashes', ARGV[13], 'own_lease', ARGV[11], 'keep', ARGV[14],
  'cache_ttl', ARGV[15], 'undeliverable', ARGV[16], 'public', ARGV[17], 'cache_version', ARGV[18], 'progress', progress,
  'created', run.created, 'admitted', integer(now_us), 'interests', '1', 'interest:' .. interest, '1', 'tags', ARGV[23])
own(run)
if shared then
  redis.call('HSET', P .. 'key:' .. key, 'live', id)
  redis.call('PERSIST', P .. 'key:' .. key)
end
redis.call('ZADD', P .. 'runs', run.created, id)
move(run, start_at > now and 'defer' or 'admit')
return answer('new', run, commit(run))
