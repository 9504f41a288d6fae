-- bell: how idle workers are woken. A marker that is lost costs an idle worker's next look, never a run.
-- Scripts that queue many runs ring once for each queue, when they are done: whoever takes a run rings for the next one.

local BELL_MARKERS = 64     -- enough to wake every idle child of a host; more only makes empty looks
local BELL_LIFE = 60000     -- ms

local to_ring = {}  -- the queues that got work in this call

local function ring(queue)
  local bell = P .. 'bell:' .. queue
  local markers = redis.call('RPUSH', bell, '1')
  if markers == 1 then
    redis.call('PEXPIRE', bell, BELL_LIFE)
  elseif markers > BELL_MARKERS then
    redis.call('RPOP', bell)
  end
end

-- Every call ends with this, and its answer.
local function ended_with(answer)
  for queue in pairs(to_ring) do
    ring(queue)
    to_ring[queue] = nil
  end
  return answer
end
