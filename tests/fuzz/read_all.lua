-- Everything a namespace holds, in one reply: {name, ms to its end or -1, content} a key. Content is a hash's or a sorted
-- set's pairs, a set's members, a list's length, or a string's value.
-- Key TTLs follow the server's own time, which is not the walk's: what would end soon is given time enough, once it is read.
-- ARGV: prefix
local HASHES = {partition = true, run = true, key = true, slot = true}
local SHORT, ENOUGH = 60000, 3600000  -- ms

local function content(key, family)
  if HASHES[family] then
    return redis.call('HGETALL', key)
  end
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'zset' then
    return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then
    return redis.call('HGETALL', key)
  elseif kind == 'set' then
    return redis.call('SMEMBERS', key)
  elseif kind == 'list' then
    return {tostring(redis.call('LLEN', key))}
  end
  return {redis.call('GET', key)}
end

local all = {}
for i, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local name = string.sub(key, #ARGV[1] + 1)
  local left = redis.call('PTTL', key)
  all[i] = {name, left, content(key, string.match(name, '^[^:]+'))}
  if left >= 0 and left < SHORT then
    redis.call('PEXPIRE', key, ENOUGH)
  end
end
return all
