-- schedules: what schedules there are, and what time it is. Writes that those whose name and mark the caller gives are still
-- declared. Answers {now (ms), then of each: name, mark, schedule (JSON), job (JSON), queue, next or '' (it lives in another
-- partition), paused, last tick or '', last start or '', last run or '', when it was last declared (ms)}.
-- ARGV: pairs of a name and a mark

local SHOWN = {'mark', 'schedule', 'job', 'queue', 'next', 'paused', 'last_tick', 'last_at', 'last_run'}

local function renew_declared(ARGV)
  for i = 1, #ARGV, 2 do
    if redis.call('HGET', schedule_key(ARGV[i]), 'mark') == ARGV[i + 1] then
      redis.call('ZADD', P .. 'schedules', now_text, ARGV[i])
    end
  end
end

function scripts.schedules(ARGV)
  renew_declared(ARGV)
  local answer = {now_text}
  local listed = redis.call('ZRANGE', P .. 'schedules', 0, -1, 'WITHSCORES')
  for i = 1, #listed, 2 do
    local name, declared = listed[i], listed[i + 1]
    local fields = redis.call('HMGET', schedule_key(name), unpack(SHOWN))
    if fields[1] then
      answer[#answer + 1] = name
      for j = 1, #SHOWN do
        answer[#answer + 1] = fields[j] or ''
      end
      answer[#answer + 1] = declared
    else
      redis.call('ZREM', P .. 'schedules', name)  -- removed by hand
    end
  end
  return answer
end
