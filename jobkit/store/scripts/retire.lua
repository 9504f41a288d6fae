-- retire: a worker leaves, or only leaves these queues: they no longer count it; who leaves is not listed any more.
-- A resend changes nothing. ARGV: worker, 1 if it stays and only leaves these queues, queues…

function scripts.retire(ARGV)
  local worker, stays = ARGV[1], ARGV[2] == '1'
  for i = 3, #ARGV do
    redis.call('ZREM', P .. 'workers:' .. ARGV[i], worker)
  end
  if not stays then
    redis.call('ZREM', P .. 'fleet', worker)
    redis.call('DEL', P .. 'about:' .. worker)
  end
end
