-- list: snapshots, newest first, of all runs or of one state, from a cursor on.
-- Answers {next cursor or '', snapshots…}. A cursor is "score id": the place of the last one read, so rows that come or go
-- meanwhile shift nothing. ARGV: state ('' for all), limit, cursor
local index = ARGV[1] == '' and 'runs' or 'state:' .. ARGV[1]
local limit = tonumber(ARGV[2])
local top, after = '+inf', nil
if ARGV[3] ~= '' then
  top, after = string.match(ARGV[3], '^(%S+) (%S+)$')
end

local answers, cursor, offset = {''}, '', 0
while #answers <= limit do
  local rows = redis.call('ZREVRANGEBYSCORE', P .. index, top, '-inf', 'WITHSCORES', 'LIMIT', offset, limit)
  if #rows == 0 then
    return answers
  end
  for i = 1, #rows, 2 do
    local id, score = rows[i], rows[i + 1]
    local seen = after and score == top and id >= after
    local text = not seen and #answers <= limit and snapshot(id)
    if text then
      answers[#answers + 1] = text
      cursor = score .. ' ' .. id
    end
  end
  offset = offset + #rows / 2
end
answers[1] = cursor
return answers
