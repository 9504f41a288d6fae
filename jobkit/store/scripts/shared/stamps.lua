-- stamps: what was invalidated when. A run that began before a stamp of one of its labels is neither joined nor served.
-- Labels are `job:NAME` and `tag:TAG`. Of very many stamps the oldest are forgotten, and `floor` remembers the youngest of
-- these: what began before it is invalid whatever its labels are, so nothing is ever served too long.

-- Begun means taken: its token is the stamp of its last take. One that was given back has a newer token, and begins anew.
local function valid(id, start, token)
  if start == '0' or not partition.stamped or tonumber(token) > tonumber(partition.stamped) then
    return true
  end
  local begun = tonumber(token)
  local labels = {}
  for label in string.gmatch(redis.call('HGET', record_key(id), 'labels') or '', '%S+') do
    labels[#labels + 1] = label
  end
  local stamps = #labels > 0 and redis.call('ZMSCORE', P .. 'stamps', unpack(labels)) or {}
  stamps[#stamps + 1] = redis.call('HGET', PARTITION, 'floor')
  for i = 1, #labels + 1 do
    if stamps[i] and tonumber(stamps[i]) >= begun then
      return false
    end
  end
  return true
end
