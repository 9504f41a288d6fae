-- list: snapshots, newest first, of all runs, of one state or of one owner, from a cursor on.
-- Answers {next cursor or '', snapshots…}. A cursor is "score id": the place of the last one read, so rows that come or go
-- meanwhile shift nothing. ARGV: index (runs, state:STATE, owner:OWNER), limit, cursor

function scripts.list(ARGV)
  local index, limit = P .. ARGV[1], tonumber(ARGV[2])
  local top, after = '+inf', nil
  if ARGV[3] ~= '' then
    top, after = string.match(ARGV[3], '^(%S+) (%S+)$')
  end
  local answers, cursor, offset = {''}, '', 0
  while #answers <= limit do
    local rows = redis.call('ZREVRANGEBYSCORE', index, top, '-inf', 'WITHSCORES', 'LIMIT', offset, limit)
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
end
