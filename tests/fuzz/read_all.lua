-- Everything a namespace holds, in one reply: {name, ms to its end or -1, content} a key. Content is a hash's or a sorted
-- set's pairs, a set's members, a list's length, or a string's value. ARGV: prefix
local out = {}
local HASHES = {partition = true, run = true, key = true, slot = true}
for i, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local name = string.sub(key, #ARGV[1] + 1)
  local family = string.match(name, '^[^:]+')
  local content
  if HASHES[family] then
    content = redis.call('HGETALL', key)
  else
    local kind = redis.call('TYPE', key)['ok']
    if kind == 'zset' then
      content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif kind == 'hash' then
      content = redis.call('HGETALL', key)
    elseif kind == 'set' then
      content = redis.call('SMEMBERS', key)
    elseif kind == 'list' then
      content = {tostring(redis.call('LLEN', key))}
    else
      content = {redis.call('GET', key)}
    end
  end
  out[i] = {name, redis.call('PTTL', key), content}
end
return out
