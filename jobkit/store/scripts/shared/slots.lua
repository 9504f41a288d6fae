-- slots: what a worker's child holds. A slot that holds a run has no TTL; one that is free, dead or too late has one.

local SLOT_LIFE = 86400000  -- ms; what such a slot remembers (its last nonce, its death) outlives any message

local function slot_key(slot)
  return P .. 'slot:' .. slot
end

-- The key of the slot that holds this start, if one still does.
local function holding_slot(run)
  if not run.slot or run.slot == '' then
    return nil
  end
  local key = slot_key(run.slot)
  return redis.call('HGET', key, 'token') == run.token and key
end

-- The slot is free for its next take.
local function vacate(run)
  local key = holding_slot(run)
  if key then
    redis.call('HDEL', key, 'run', 'token')
    redis.call('PEXPIRE', key, SLOT_LIFE)
  end
  run.slot = nil
end

-- The run goes on or ends without this holder, who hears so at its next renewal.
local function let_slot_expire(run)
  local key = holding_slot(run)
  if key then
    redis.call('PEXPIRE', key, SLOT_LIFE)
  end
end
