-- list: snapshots, newest first, of all runs, of one state or of one owner, from a cursor on.
-- Answers {1 if there are more, then score and snapshot of each}. A cursor is "score id": the place of the last one read, so
-- rows that come or go meanwhile shift nothing, and one cursor will do for all partitions.
-- ARGV: index (runs, state:STATE, owner:OWNER), limit, cursor

function scripts.list(ARGV)
  local index, limit = P .. ARGV[1], tonumber(ARGV[2])
  local top, after = '+inf', nil
  if ARGV[3] ~= '' then
    top, after = string.match(ARGV[3], '^(%S+) (%S+)$')
  end
  local answers, offset = {0}, 0
  while true do
    local rows = redis.call('ZREVRANGEBYSCORE', index, top, '-inf', 'WITHSCORES', 'LIMIT', offset, limit)
    for i = 1, #rows, 2 do
      local id, score = rows[i], rows[i + 1]
      local seen = after and score == top and id >= after
      local text = not seen and snapshot(id)
      if text and #answers > 2 * limit then
        answers[1] = 1
        return answers
      elseif text then
        answers[#answers + 1], answers[#answers + 2] = score, text
      end
    end
    if #rows == 0 then
      return answers
    end
    offset = offset + #rows / 2
  end
end
