-- settle_and_take: a settle, then a take by the slot that performed it: all that a busy worker asks for, in one step.
-- Answers {answer of settle, answer of take}. Each is a resend to which that of its own would be one.
-- What was held is unknown to a store that lost it: it is to be asserted and settled before anything else, so nothing is taken.
-- ARGV: those of settle, then those of take

local OF_SETTLE = 13

function scripts.settle_and_take(ARGV)
  local answer, left = scripts.settle({unpack(ARGV, 1, OF_SETTLE)}, ARGV[OF_SETTLE + 1])
  if answer == 'unknown' then
    return {answer, {'none', 0}}
  end
  return {answer, scripts.take({unpack(ARGV, OF_SETTLE + 1)}, left)}
end
