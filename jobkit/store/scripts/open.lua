-- open: founds the partition if it is new, and answers its format, incarnation, secret, server, and how many partitions there
-- are. (Needs no partition yet.)
-- A client tells the newest token it has witnessed, and which server gave it. When that was another server, and the token
-- is above the clock that was found when this one came up, then this store is an older copy of what the client saw: it
-- gets another incarnation, so that holders may assert their runs anew.
-- ARGV: format, the format before it, a random incarnation, a random secret, witnessed server, witnessed token, how many
-- partitions are being founded (0: found nothing).
-- A resend finds what the first one founded.

-- The id of the server process; '' where a service does not tell.
local function this_server()
  local about = redis.pcall('INFO', 'server')
  return type(about) == 'string' and string.match(about, 'run_id:(%w+)') or ''
end

local function found(key, format, before, incarnation, secret, partitions)
  if redis.call('HEXISTS', key, 'incarnation') == 0 then
    redis.call('HSET', key, 'format', format, 'incarnation', incarnation, 'secret', secret, 'partitions', partitions)
  elseif redis.call('HGET', key, 'format') == before then
    redis.call('HSET', key, 'format', format)  -- its records are read as they are; who cannot read ours is refused now
  end
end

function scripts.open(KEYS, ARGV)
  local key, format, before, incarnation, secret, witnessed_server, witnessed_token, partitions = KEYS[1], unpack(ARGV)
  if partitions == '0' and redis.call('HEXISTS', key, 'incarnation') == 0 then
    return redis.error_reply('NOPARTITION this partition is not open yet')
  end
  found(key, format, before, incarnation, secret, partitions)
  local here = this_server()
  local clock, server, found_clock = unpack(redis.call('HMGET', key, 'clock', 'server', 'found'))
  if here ~= '' and here ~= server then
    found_clock = clock or '0'
    redis.call('HSET', key, 'server', here, 'found', found_clock)
  end
  local elsewhere = witnessed_server ~= '' and witnessed_server ~= here
  if elsewhere and tonumber(witnessed_token) > tonumber(found_clock or '0') then
    local raised = integer(math.max(clock or 0, witnessed_token))
    redis.call('HSET', key, 'incarnation', incarnation, 'clock', raised, 'found', raised)
  end
  local opened = redis.call('HMGET', key, 'format', 'incarnation', 'secret')
  opened[4], opened[5] = here, redis.call('HGET', key, 'partitions')
  return opened
end
