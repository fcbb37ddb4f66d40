-- Part of claim: an event with gates is offered once all of them let it through.
-- Expects admit; fills plain (ids to offer), gated; defines take_gated.
local function take_gated(id)
  local event = read(event_key(id), unpack(ADMITTED))
  if not known(event_key(id), event) or event.st then
    redis.call('ZREM', DUE, '~' .. id)
    return lift(id, event)
  end
  if not admit(id, event) then return end
  plain[#plain + 1], gated[id] = id, true
end
