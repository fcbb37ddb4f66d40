-- Part of lift: what keeps two saturated gates from starving an event that needs both.
-- Expects admit; defines give_back, reserve, unreserve.
--
-- One that was passed over eight times reserves: it keeps the slots of lower gates while it waits
-- for a higher one, one such event per gate, so two gates starve nobody and none deadlock.
local PASSES = 8

-- Whoever waits keeps the slots that it reserves, and no others: it may have been let through
-- before it was seen that it goes through one gate more.
local function give_back(id, held)
  for _, each in ipairs(held) do
    if each[2].res ~= id then free_slot(id, each[1]) end
  end
end

local function reserve(id, event, missing, first)
  local passes = redis.call('HINCRBY', event_key(id), 'ps', 1)
  for i = 1, passes >= PASSES and first - 1 or 0 do
    local gate, state = unpack(missing[i])
    if not state.res then
      redis.call('HSET', gate_key(gate), 'res', id)
      hold(id, gate, state)
    end
  end
end

local function unreserve(id, event)
  if not event.ps then return end
  for _, gate in ipairs(gates_of(event)) do
    if redis.call('HGET', gate_key(gate), 'res') == id then
      redis.call('HDEL', gate_key(gate), 'res')
    end
  end
  redis.call('HDEL', event_key(id), 'ps')
end
