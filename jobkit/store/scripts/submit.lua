-- submit: admits runs, or finds those that already answer.
-- Guarantees: at most one live run per cache key, however many submit at once; the interest is counted in the same step.
-- Answers five values a submission: admission, run id, result or nil, id of the run that makes a memo anew or '', and ms:
-- how long a memo is still fresh, until when a failure refuses (epoch), or after how long a full queue may have room.
-- Admissions: new, joined, cached, stale, refused, full. A resend (same id) answers the run it made.
-- ARGV: what all of them share, in the order of SHARED; then four values each: id, key, limits, work.
-- `start` is '' for now, '+ms' from now, or epoch ms; `interest` is '' for one by each id. `work` is for the worker.

local SHARED = {'job', 'queue', 'terms', 'labels', 'owner', 'reuse', 'priority', 'start', 'interest'}
local EACH = 4

local function shared_wishes(ARGV)
  local wish = {}
  for i, name in ipairs(SHARED) do
    wish[name] = ARGV[i]
  end
  wish.priority = tonumber(wish.priority)
  local from_now = string.sub(wish.start, 1, 1) == '+'
  wish.start_at = wish.start == '' and now or (from_now and now or 0) + wish.start
  return wish
end

-- What the job's class says. (A memo answers without it.)
local function said_of(wish)
  wish.said = wish.said or cjson.decode(wish.terms)
  return wish.said
end

-- Who may answer ---------------------------------------------------------------------------------------------------------

-- The ended run whose value may answer, or nil.
local function memo_of(names, wish)
  if wish.reuse ~= 'any' or not names[2] then
    return nil
  end
  local state, result, token, fresh_until, stale_until, refresh_at = unpack(redis.call('HMGET', record_key(names[2]),
    'state', 'result', 'token', 'fresh_until', 'stale_until', 'refresh_at'))
  if state == 'succeeded' and tonumber(stale_until or fresh_until or '0') > now and valid(names[2], '1', token) then
    return {
      id = names[2], result = result, fresh_for = fresh_until - now,
      wants_refresh = tonumber(refresh_at or fresh_until) <= now,
    }
  end
end

-- The live run, unless it began before an invalidation, or nil.
local function live_of(names)
  local run = names[1] and read_run(names[1])
  if run and not ended(run.state) and valid(run.id, run.start, run.token) then
    return run
  end
end

-- Of a debounced job only a run that has not begun may be joined: what is submitted now is to count.
local function joinable(run, wish)
  return run and (run.start == '0' or (wish.reuse == 'any' and not said_of(wish).debounce))
end

-- Until when a failure refuses, or nil.
local function refusal_until(names, wish)
  if wish.reuse ~= 'any' or not names[3] then
    return nil
  end
  local refuse_until, token = unpack(redis.call('HMGET', record_key(names[3]), 'refuse_until', 'token'))
  if refuse_until and tonumber(refuse_until) > now and valid(names[3], '1', token or '0') then
    return tonumber(refuse_until)
  end
end

-- nil while the queue has room; else in how many ms one run is taken, as far as the wait of its head tells (Little's law).
local function full_for(wish)
  local most = said_of(wish).max_queued
  if not most then
    return nil
  end
  local queue = P .. 'ready:' .. wish.queue
  local waiting = redis.call('ZCARD', queue) + (redis.call('HGET', P .. 'parked', wish.queue) or 0)
  if waiting < most then
    return nil
  end
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  return math.floor(math.max(1000, (now - (head or now)) / waiting))
end

-- A new run --------------------------------------------------------------------------------------------------------------

-- The only joinable run of its key from now on. Answers when it starts.
local function take_over(run, names, wish)
  local said, start_at = said_of(wish), wish.start_at
  local old = names[1] and read_run(names[1])
  if old then
    let_go(old)
  end
  if said.throttle and names[4] then
    put(run, 'not_before', integer(names[4] + said.throttle))
    start_at = math.max(start_at, run.not_before)
  end
  if said.debounce then
    put(run, 'latest_start', integer(now + said.longest_debounce))
    start_at = math.max(start_at, now + said.debounce)
  end
  point(run, names[5], math.max(start_at, now), said.throttle)
  return start_at
end

local function create(id, key, limits, work, names, wish, interest)
  local run = {
    id = id, state = 'unknown', version = '0', start = '0', said = said_of(wish), queue = wish.queue,
    changes = {
      'job', wish.job, 'queue', wish.queue, 'terms', wish.terms, 'labels', wish.labels, 'work', work,
      'created', now_text, 'interests', '1', 'interest:' .. interest, '1',
    },
  }
  if names then
    put(run, 'key', key)
  end
  if limits ~= '' then
    put(run, 'limits', limits)
  end
  if wish.priority ~= 0 then
    put(run, 'priority', integer(wish.priority))
  end
  local start_at = names and take_over(run, names, wish) or wish.start_at
  put(run, 'score', score_of(start_at, wish.priority))
  redis.call('ZADD', P .. 'runs', now_text, id)
  renew_interest(id, said_of(wish).abandon_after)
  if start_at > now then
    put(run, 'due', integer(start_at))
    move(run, 'defer')
  else
    move(run, 'admit')
  end
  write(run)
  own(id, wish.owner, now)
end

-- Joining ----------------------------------------------------------------------------------------------------------------

-- A place in front for whoever is more urgent. Answers the priority that now counts.
local function hasten(run, wish)
  local before = tonumber(field(run, 'priority') or '0')
  if wish.priority <= before then
    return before
  end
  put(run, 'priority', integer(wish.priority))
  put(run, 'score', string.format('%.3f', run.score - (wish.priority - before) * HEAD_START))
  if run.state == 'queued' then
    redis.call('ZADD', place_of(run), run.score, run.id)
  end
  return wish.priority
end

-- A run whose first start is still to come starts when the earlier of both wants it; a debounced one when it has been
-- quiet for long enough, with what was submitted last.
local function retime(run, priority, work, wish)
  if run.start ~= '0' then
    return
  end
  local debounce, start_at = said_of(wish).debounce, wish.start_at
  if debounce then
    put(run, 'work', work)
    start_at = math.min(math.max(start_at, now + debounce), field(run, 'latest_start') or now)
  end
  start_at = math.max(start_at, field(run, 'not_before') or 0)
  if run.state == 'scheduled' and (debounce or start_at < tonumber(redis.call('ZSCORE', P .. 'due', run.id))) then
    put(run, 'score', score_of(start_at, priority))
    redis.call('ZADD', P .. 'due', integer(start_at), run.id)
    if start_at <= now then
      move(run, 'due')
      commit(run)
    end
  end
end

local function join(run, interest, work, wish)
  own(run.id, wish.owner, now)
  stake(run.id, interest)
  renew_interest(run.id, said_of(wish).abandon_after)
  retime(run, hasten(run, wish), work, wish)
  note(run)
  return 'joined', run.id
end

-- Deciding ---------------------------------------------------------------------------------------------------------------

-- Whether there is a record of this id, and whether it answers by itself. (One that refreshes a memo does not: the memo does.)
local function made_before(id)
  local state, refreshes = unpack(redis.call('HMGET', record_key(id), 'state', OWN_STAKE))
  return state, state and not refreshes
end

-- A memo answers, and past its best time one run makes it anew: nobody waits for that, so nobody's leaving stops it.
local function answer_from_memory(memo, names, wish, made, id, key, limits, work)
  local refresh_id = ''
  if memo.wants_refresh then
    local live = live_of(names)
    if live then
      own(live.id, wish.owner, now)
      refresh_id = live.id
    elseif not (made or refusal_until(names, wish) or full_for(wish)) then
      create(id, key, limits, work, names, wish, 'refresh')
      refresh_id = id
    end
  end
  own(memo.id, wish.owner, now)
  return memo.fresh_for > 0 and 'cached' or 'stale', memo.id, memo.result, refresh_id, math.max(0, memo.fresh_for)
end

local function names_of(key)
  return redis.call('HMGET', pointer_key(key), 'live', 'memo', 'failed', 'began', 'until')
end

local function admit(wish, resent, id, key, limits, work)
  local interest = wish.interest ~= '' and wish.interest or 'ticket:' .. id
  local made, answers_itself
  if resent then
    made, answers_itself = made_before(id)
  end
  local names = key ~= '' and wish.reuse ~= 'none' and names_of(key)
  if names and not answers_itself then
    local memo = memo_of(names, wish)
    if memo then
      return answer_from_memory(memo, names, wish, made, id, key, limits, work)
    end
    local live = live_of(names)
    if joinable(live, wish) then
      return join(live, interest, work, wish)
    end
    local refuse_until = refusal_until(names, wish)
    if refuse_until then
      own(names[3], wish.owner, now)
      return 'refused', names[3], nil, '', refuse_until
    end
  end
  if made then
    own(id, wish.owner, now)
    if redis.call('HEXISTS', record_key(id), 'interest:' .. interest) == 0 then  -- else it counted, and may be withdrawn
      stake(id, interest)
    end
    return 'new', id, redis.call('HGET', record_key(id), 'result')
  end
  local full = full_for(wish)
  if full then
    return 'full', '', nil, '', full
  end
  create(id, key, limits, work, names, wish, interest)
  return 'new', id
end

-- Seldom: one question for all of them.
local function any_made_before(ARGV)
  local records = {}
  for at = #SHARED + 1, #ARGV, EACH do
    records[#records + 1] = record_key(ARGV[at])
  end
  return redis.call('EXISTS', unpack(records)) > 0
end

function scripts.submit(ARGV)
  local wish, answers = shared_wishes(ARGV), {}
  local resent = any_made_before(ARGV)
  for at = #SHARED + 1, #ARGV, EACH do
    local last = #answers
    local admission, id, result, refresh_id, ms = admit(wish, resent, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
    answers[last + 1], answers[last + 2], answers[last + 3] = admission, id, result or false
    answers[last + 4], answers[last + 5] = refresh_id or '', ms or 0
  end
  return answers
end
