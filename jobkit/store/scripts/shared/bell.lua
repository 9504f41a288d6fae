-- bell: how idle workers are woken. A marker that is lost costs an idle worker's next look, never a run.
-- Nobody is woken for a queue that is paused. `queues` names every queue that has runs to take: whatever comes into one
-- rings, and who rings first writes its name down; it is dropped when there is nothing in it any more.
-- Scripts that queue many runs ring once for each queue, when they are done: whoever takes a run rings for the next one.

local BELL_MARKERS = 64     -- enough to wake every idle child of a host; more only makes empty looks
local BELL_LIFE = 60000     -- ms

local to_ring = {}  -- the queues that got work in this call

-- `paused` of the partition holds the names with a space before and behind each.
local function is_paused(queue)
  return partition.paused and string.find(partition.paused, ' ' .. queue .. ' ', 1, true) ~= nil
end

local function ring(queue)
  local bell = P .. 'bell:' .. queue
  local markers = redis.call('RPUSH', bell, '1')
  if markers == 1 then
    redis.call('PEXPIRE', bell, BELL_LIFE)
    redis.call('SADD', P .. 'queues', queue)
  elseif markers > BELL_MARKERS then
    redis.call('RPOP', bell)
  end
end

-- A queue that has nothing to take is no longer named; its bell goes too, so that who rings next names it again.
-- Answers whether it was so.
local function drop_if_empty(queue)
  if redis.call('EXISTS', P .. 'ready:' .. queue) == 1 then
    return false
  end
  redis.call('SREM', P .. 'queues', queue)
  redis.call('DEL', P .. 'bell:' .. queue)
  return true
end

-- Every call ends with this, and its answer.
local function ended_with(answer)
  for queue in pairs(to_ring) do
    if not is_paused(queue) then
      ring(queue)
    end
    to_ring[queue] = nil
  end
  return answer
end
