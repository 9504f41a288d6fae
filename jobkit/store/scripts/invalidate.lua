-- invalidate: nothing that began before this is joined or served after it, checkpoints included.
-- A key's pointer turns away from all it names, but for a run that has not begun; a label (`job:NAME`, `tag:TAG`) is stamped.
-- Runs in flight go on for those who have a stake in them. A resend invalidates again: what began in between is then computed
-- once more.
-- Answers the stamp. Tells those who keep memos of their own. ARGV: key or '', label or ''

local MOST_STAMPS = 10000

local function invalidate_key(key, stamp)
  local live = redis.call('HGET', pointer_key(key), 'live')
  local run = live and read_run(live)
  if run and run.start == '0' then
    redis.call('HDEL', pointer_key(key), 'memo', 'failed')
    return
  end
  redis.call('DEL', pointer_key(key))
  if run then
    redis.call('HSET', record_key(live), 'barred', stamp)
    supersede(run)
  end
end

local function invalidate_label(label, stamp)
  redis.call('ZADD', P .. 'stamps', stamp, label)
  redis.call('HSET', PARTITION, 'stamped', stamp)
  if redis.call('ZCARD', P .. 'stamps') > MOST_STAMPS then
    redis.call('HSET', PARTITION, 'floor', redis.call('ZPOPMIN', P .. 'stamps')[2])
  end
end

function scripts.invalidate(ARGV)
  local key, label, stamp = ARGV[1], ARGV[2], tick()
  if key ~= '' then
    redis.call('HSET', PARTITION, 'barred', stamp)
    invalidate_key(key, stamp)
  else
    invalidate_label(label, stamp)
  end
  local everywhere = string.gsub(P, ':%d+}:$', '}:')
  redis.call('PUBLISH', everywhere .. 'invalidated', key ~= '' and 'key:' .. key or label)
  return stamp
end
