-- settle_and_take: a settle, then a take by the slot that performed it: all that a busy worker asks for, in one step.
-- Answers {answer of settle, answer of take}. Each is a resend to which that of its own would be one.
-- ARGV: those of settle, then those of take

local OF_SETTLE = 13

function scripts.settle_and_take(ARGV)
  local answer, left = scripts.settle({unpack(ARGV, 1, OF_SETTLE)}, ARGV[OF_SETTLE + 1])
  return {answer, scripts.take({unpack(ARGV, OF_SETTLE + 1)}, left)}
end
