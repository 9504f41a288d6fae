-- retire: a worker leaves, or leaves these queues: they no longer count it, and it is not listed (`announce` lists it again).
-- A resend changes nothing. ARGV: worker, queues…

function scripts.retire(ARGV)
  for i = 2, #ARGV do
    redis.call('ZREM', P .. 'workers:' .. ARGV[i], ARGV[1])
  end
  redis.call('ZREM', P .. 'fleet', ARGV[1])
  redis.call('DEL', P .. 'about:' .. ARGV[1])
end
