-- retire: a worker leaves; its queues no longer count it. A resend changes nothing. ARGV: worker, queues…

function scripts.retire(ARGV)
  for i = 2, #ARGV do
    redis.call('ZREM', P .. 'workers:' .. ARGV[i], ARGV[1])
  end
end
