-- due: what time alone brings into the queues, and takes out of them.

local function promote_due(most)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, most)) do
    local run = read_run(id)
    if run then
      move(run, 'due')
      commit(run)
    else
      redis.call('ZREM', P .. 'due', id)
      forget({id})
    end
  end
  serve_paced(most)
  local first = first_moment()
  set_alarm(first and integer(first) or NO_ALARM)
end

-- It did not begin in time, and nobody needs it any more. Its readers are told so.
local function give_up(run)
  local said = string.format('{"message":"It did not start within %.10g s, so it was given up.","public":true,"reference":"',
    terms(run).expires / 1000)
  put(run, 'error', failure(run, said))
  move(run, 'give_up')
  commit(run)
end

local function give_up_late(most)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'expiring', '-inf', now, 'LIMIT', 0, most)) do
    local run = read_run(id)
    if run and run.start == '0' and not ended(run.state) then
      give_up(run)
    else  -- removed by hand; or taken by a worker of a version that did not know of this
      redis.call('ZREM', P .. 'expiring', id)
    end
  end
end

-- In ms from now; -1 when nothing is scheduled. (An alarm that is too late was not set by whoever wrote that moment.)
local function next_due()
  local first = first_moment()
  if first and partition.alarm and first < tonumber(partition.alarm) then
    set_alarm(integer(first))
  end
  return first and math.max(0, first - now) or -1
end
