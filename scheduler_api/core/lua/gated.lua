-- Part of claim: an event with gates is offered once all of them let it through.
-- Expects admit; fills plain (ids to offer); defines take_gated, members.
local gated = {}

local function take_gated(id)
  local event = read(event_key(id), unpack(ADMITTED))
  if not known(event_key(id), event) or event.st then
    redis.call('ZREM', DUE, '~' .. id)
    return lift(id, event)
  end
  if not admit(id, event) then return end
  plain[#plain + 1], gated[id] = id, true
end

-- Ids as what they stand in `due`.
local function members(ids)
  if not next(gated) then return ids end
  local named = {}
  for i, id in ipairs(ids) do named[i] = gated[id] and '~' .. id or id end
  return named
end
