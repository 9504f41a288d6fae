-- submit: admits runs, or finds those that already answer.
-- Guarantees: at most one live run per cache key, however many submit at once; the interest is counted in the same step.
-- Answers five values a submission: admission, run id, result or nil, id of the run that makes a memo anew or '', and ms:
-- how long a memo is still fresh, until when a failure refuses (epoch), or after how long a full queue may have room.
-- Admissions: new, joined, cached, stale, refused, full. A resend (same id) answers the run it made.
-- ARGV: what all of them share, in the order of SHARED; then four values each: id, key, limits, work.
-- `labels` are all of a new run's, `tags` those that a run which answers gets too; `start` is '' for now, '+ms' from now, or
-- epoch ms; `starts` is how many a run had that its store has lost; `interest` is '' for one by each id; `work` is for the
-- worker.

local SHARED = {'job', 'queue', 'terms', 'labels', 'tags', 'owner', 'reuse', 'priority', 'start', 'starts', 'interest'}
local EACH = 4

local function read_conditions(ARGV)
  local conditions = {}
  for i, name in ipairs(SHARED) do
    conditions[name] = ARGV[i]
  end
  conditions.priority = tonumber(conditions.priority)
  local from_now = string.sub(conditions.start, 1, 1) == '+'
  conditions.start_at = conditions.start == '' and now or (from_now and now or 0) + conditions.start
  return conditions
end

-- What the job's class says. (A memo answers without it.)
local function said_of(conditions)
  conditions.said = conditions.said or parsed_terms(conditions.terms)
  return conditions.said
end

-- Who may answer ---------------------------------------------------------------------------------------------------------

-- Whether what this run was made of is still valid, by its own labels and by what this submission says of itself.
local function may_answer(id, start, token, conditions)
  return add_tags(id, conditions.tags) and valid(id, start, token)
end

-- The ended run whose value may answer, or nil.
local function memo_of(asked, conditions)
  local id = asked.pointer.memo
  if conditions.reuse ~= 'any' or not id then
    return nil
  end
  local state, result, token, fresh_until, stale_until, refresh_at = unpack(redis.call('HMGET', record_key(id),
    'state', 'result', 'token', 'fresh_until', 'stale_until', 'refresh_at'))
  if state == 'succeeded' and tonumber(stale_until or fresh_until or '0') > now and may_answer(id, '1', token, conditions) then
    return {
      id = id, result = result, fresh_for = fresh_until - now,
      wants_refresh = tonumber(refresh_at or fresh_until) <= now,
    }
  end
end

-- The live run, unless it began before an invalidation, or nil.
local function live_of(asked, conditions)
  local run = asked.pointer.live and read_run(asked.pointer.live)
  if run and not ended(run.state) and may_answer(run.id, run.start, run.token, conditions) then
    return run
  end
end

-- Of a debounced job only a run that has not begun may be joined: what is submitted now is to count.
local function joinable(run, conditions)
  return run and (run.start == '0' or (conditions.reuse == 'any' and not said_of(conditions).debounce))
end

-- Until when a failure refuses, or nil.
local function refusal_until(asked, conditions)
  local id = asked.pointer.failed
  if conditions.reuse ~= 'any' or not id then
    return nil
  end
  local refuse_until, token = unpack(redis.call('HMGET', record_key(id), 'refuse_until', 'token'))
  if refuse_until and tonumber(refuse_until) > now and may_answer(id, '1', token or '0', conditions) then
    return tonumber(refuse_until)
  end
end

-- nil while the queue has room; else in how many ms one run is taken, as far as the wait of its head tells (Little's law).
local function full_for(conditions)
  local most = said_of(conditions).max_queued
  if not most then
    return nil
  end
  local queue = P .. 'ready:' .. conditions.queue
  local waiting = redis.call('ZCARD', queue) + (redis.call('HGET', P .. 'parked', conditions.queue) or 0)
  if waiting < most then
    return nil
  end
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  return math.floor(math.max(1000, (now - (head or now)) / waiting))
end

-- A new run --------------------------------------------------------------------------------------------------------------

-- The only joinable run of its key from now on. Answers when it starts.
local function take_over(run, asked, conditions)
  local said, start_at = said_of(conditions), conditions.start_at
  local pointer = asked.pointer
  local old = pointer.live and read_run(pointer.live)
  if old then
    supersede(old)
  end
  if said.throttle and pointer.began then
    put(run, 'not_before', integer(pointer.began + said.throttle))
    start_at = math.max(start_at, run.not_before)
  end
  if said.debounce then
    put(run, 'latest_start', integer(now + said.longest_debounce))
    start_at = math.max(start_at, now + said.debounce)
  end
  point(run, pointer.ends, math.max(start_at, now), said.throttle)
  return start_at
end

local function create(asked, conditions, interest)
  local id = asked.id
  local run = {
    id = id, state = 'unknown', version = '0', start = '0', said = said_of(conditions), queue = conditions.queue,
    changes = {
      'job', conditions.job, 'queue', conditions.queue, 'terms', conditions.terms, 'labels', conditions.labels,
      'work', asked.work, 'created', now_text, 'interests', '1', 'interest:' .. interest, '1',
    },
  }
  if asked.pointer then
    put(run, 'key', asked.key)
  end
  if asked.limits ~= '' then
    put(run, 'limits', asked.limits)
  end
  if conditions.priority ~= 0 then
    put(run, 'priority', integer(conditions.priority))
  end
  if conditions.starts ~= '0' then  -- a lost run's next start is above those that its watchers have seen
    put(run, 'start', conditions.starts)
    put(run, 'token', tick())
  end
  local start_at = asked.pointer and take_over(run, asked, conditions) or conditions.start_at
  put(run, 'score', score_of(start_at, conditions.priority))
  redis.call('ZADD', P .. 'runs', now_text, id)
  renew_interest(id, said_of(conditions).abandon_after)
  await_start(run, start_at)
  if start_at > now then
    put(run, 'due', integer(start_at))
    move(run, 'defer')
  else
    move(run, 'admit')
  end
  write(run)
  own(id, conditions.owner, now)
end

-- Joining ----------------------------------------------------------------------------------------------------------------

-- A place in front for whoever is more urgent. Answers the priority that now counts.
local function hasten(run, conditions)
  local before = tonumber(field(run, 'priority') or '0')
  if conditions.priority <= before then
    return before
  end
  put(run, 'priority', integer(conditions.priority))
  put(run, 'score', string.format('%.3f', run.score - (conditions.priority - before) * HEAD_START))
  if run.state == 'queued' then
    redis.call('ZADD', place_of(run), run.score, run.id)
  end
  return conditions.priority
end

-- A run whose first start is still to come starts when the earlier of both wants it; a debounced one when it has been
-- quiet for long enough, with what was submitted last.
local function retime(run, priority, work, conditions)
  if run.start ~= '0' then
    return
  end
  local debounce, start_at = said_of(conditions).debounce, conditions.start_at
  if debounce then
    put(run, 'work', work)
    start_at = math.min(math.max(start_at, now + debounce), field(run, 'latest_start') or now)
  end
  start_at = math.max(start_at, field(run, 'not_before') or 0)
  if run.state == 'scheduled' and (debounce or start_at < tonumber(redis.call('ZSCORE', P .. 'due', run.id))) then
    put(run, 'score', score_of(start_at, priority))
    await_moment('due', start_at, run.id)
    await_start(run, start_at)
    if start_at <= now then
      move(run, 'due')
    end
    commit(run)
  end
end

local function join(run, interest, work, conditions)
  own(run.id, conditions.owner, now)
  stake(run.id, interest)
  renew_interest(run.id, said_of(conditions).abandon_after)
  retime(run, hasten(run, conditions), work, conditions)
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
local function answer_from_memory(memo, asked, conditions, made)
  local refresh_id = ''
  if memo.wants_refresh then
    local live = live_of(asked, conditions)
    if live then
      own(live.id, conditions.owner, now)
      refresh_id = live.id
    elseif not (made or refusal_until(asked, conditions) or full_for(conditions)) then
      create(asked, conditions, 'refresh')
      refresh_id = asked.id
    end
  end
  own(memo.id, conditions.owner, now)
  return memo.fresh_for > 0 and 'cached' or 'stale', memo.id, memo.result, refresh_id, math.max(0, memo.fresh_for)
end

-- The run that this submission made, when it came before.
local function answer_again(id, interest, conditions)
  own(id, conditions.owner, now)
  if redis.call('HEXISTS', record_key(id), 'interest:' .. interest) == 0 then  -- else it counted, and may be withdrawn
    stake(id, interest)
  end
  return 'new', id, redis.call('HGET', record_key(id), 'result')
end

local function admit(asked, conditions, may_be_resent)
  local interest = conditions.interest ~= '' and conditions.interest or 'ticket:' .. asked.id
  local made, answers_itself
  if may_be_resent then
    made, answers_itself = made_before(asked.id)
  end
  if asked.pointer and not answers_itself then
    local memo = memo_of(asked, conditions)
    if memo then
      return answer_from_memory(memo, asked, conditions, made)
    end
    local live = live_of(asked, conditions)
    if joinable(live, conditions) then
      return join(live, interest, asked.work, conditions)
    end
    local refuse_until = refusal_until(asked, conditions)
    if refuse_until then
      own(asked.pointer.failed, conditions.owner, now)
      return 'refused', asked.pointer.failed, nil, '', refuse_until
    end
  end
  if made then
    return answer_again(asked.id, interest, conditions)
  end
  local full = full_for(conditions)
  if full then
    return 'full', '', nil, '', full
  end
  create(asked, conditions, interest)
  return 'new', asked.id
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
  local conditions, answers = read_conditions(ARGV), {}
  local may_be_resent = any_made_before(ARGV)
  for at = #SHARED + 1, #ARGV, EACH do
    local asked = {id = ARGV[at], key = ARGV[at + 1], limits = ARGV[at + 2], work = ARGV[at + 3]}
    if asked.key ~= '' and conditions.reuse ~= 'none' then
      asked.pointer = read_pointer(asked.key)
    end
    local last = #answers
    local admission, id, result, refresh_id, ms = admit(asked, conditions, may_be_resent)
    answers[last + 1], answers[last + 2], answers[last + 3] = admission, id, result or false
    answers[last + 4], answers[last + 5] = refresh_id or '', ms or 0
  end
  return answers
end
