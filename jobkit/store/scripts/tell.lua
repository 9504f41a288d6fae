-- tell: publishes a message to whoever hears the channel now. Answers how many that are, where the server knows.
-- A resend publishes it again: whoever hears messages knows them by a name in them. ARGV: channel, message

function scripts.tell(ARGV)
  return redis.call('PUBLISH', P .. ARGV[1], ARGV[2])
end
