-- workers: what workers told of themselves, those that fell silent lately too. Writes nothing.
-- Answers three values each, by name: worker, ms since it last told, and what it told. ARGV: none

function scripts.workers()
  local answers = {}
  local rows = redis.call('ZRANGE', P .. 'fleet', 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local what = redis.call('GET', P .. 'about:' .. rows[i])
    if what then
      local last = #answers
      answers[last + 1], answers[last + 2], answers[last + 3] = rows[i], math.max(0, now - rows[i + 1]), what
    end
  end
  return answers
end
