-- stamps: what was invalidated when. A run that began before a stamp of one of its labels is neither joined nor served.
-- Labels are `job:NAME` and `tag:TAG`. Of very many stamps the oldest are forgotten, and `floor` remembers the youngest of
-- these: what began before it is invalid whatever its labels are, so nothing is ever served too long.

local MOST_LABELS = 100  -- of one run

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

-- What a submission says of itself holds for the run that answers it too. False when that would have too many labels.
local function add_tags(id, tags)
  if tags == '' then
    return true
  end
  local labels = ' ' .. (redis.call('HGET', record_key(id), 'labels') or '') .. ' '
  local before = #labels
  for tag in string.gmatch(tags, '%S+') do
    if not string.find(labels, ' ' .. tag .. ' ', 1, true) then
      labels = labels .. tag .. ' '
    end
  end
  if #labels == before then
    return true
  end
  local _, count = string.gsub(labels, '%S+', '')
  if count > MOST_LABELS then
    return false
  end
  redis.call('HSET', record_key(id), 'labels', string.sub(labels, 2, -2))
  return true
end
