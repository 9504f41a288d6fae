-- queues: how each queue stands. Writes nothing but that an empty one is no longer named.
-- Answers seven values a queue: name, how many may be taken, how many a limit holds up, how many are running, how many
-- workers serve it, 1 if it is paused, and for how many ms the first of it has waited since it was to start (-1: nobody).
-- ARGV: names of queues to be told of, also if there is nothing in them…

local RUNNING_AT_MOST = 10000  -- that are looked at, to say in which queue each is

local function add(names, name)
  if not names[name] then
    names[name], names[#names + 1] = true, name
  end
end

local function names_of(ARGV, parked, running)
  local names = {}
  for _, name in ipairs(ARGV) do
    add(names, name)
  end
  for _, name in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    if not drop_if_empty(name) then
      add(names, name)
    end
  end
  for name in string.gmatch(partition.paused or '', '%S+') do
    add(names, name)
  end
  for name in pairs(parked) do
    add(names, name)
  end
  for name in pairs(running) do
    add(names, name)
  end
  table.sort(names)
  return names
end

local function running_by_queue()
  local running = {}
  for _, id in ipairs(redis.call('ZRANGE', P .. 'leases', 0, RUNNING_AT_MOST - 1)) do
    local queue = redis.call('HGET', record_key(id), 'queue')
    if queue then
      running[queue] = (running[queue] or 0) + 1
    end
  end
  return running
end

local function parked_by_queue()
  local parked, rows = {}, redis.call('HGETALL', P .. 'parked')
  for i = 1, #rows, 2 do
    parked[rows[i]] = tonumber(rows[i + 1])
  end
  return parked
end

-- Of the head of the queue: without its priority its score is when it was to start.
local function waited(queue)
  local head = redis.call('ZRANGE', P .. 'ready:' .. queue, 0, 0, 'WITHSCORES')
  if not head[1] then
    return -1
  end
  local priority = redis.call('HGET', record_key(head[1]), 'priority') or 0
  return math.max(0, math.floor(now - head[2] - priority * HEAD_START))
end

function scripts.queues(ARGV)
  local parked, running = parked_by_queue(), running_by_queue()
  local answers = {}
  for _, queue in ipairs(names_of(ARGV, parked, running)) do
    local last = #answers
    answers[last + 1], answers[last + 2] = queue, redis.call('ZCARD', P .. 'ready:' .. queue)
    answers[last + 3], answers[last + 4] = parked[queue] or 0, running[queue] or 0
    answers[last + 5] = redis.call('ZCOUNT', P .. 'workers:' .. queue, now - WORKER_SILENCE, '+inf')
    answers[last + 6], answers[last + 7] = is_paused(queue) and 1 or 0, waited(queue)
  end
  return answers
end
