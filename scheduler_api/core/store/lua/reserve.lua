-- Part of lift: what keeps two saturated gates from starving an event that needs both.
-- Expects admit; defines give_back, reserve, unreserve.
--
-- One that was passed over four times reserves: it keeps the slots of lower gates while it waits
-- for a higher one, so two gates starve nobody and none deadlock. Half of a gate may be reserved:
-- the other half goes on, however slow what the waiting ones wait for is.
local PASSES = 4

-- Whoever waits keeps the slots that it reserves, and no others: it may have been let through
-- before it was seen that it goes through one gate more.
local function give_back(id, held)
  for _, gate in ipairs(held) do
    if redis.call('SISMEMBER', reserved_key(gate), id) == 0 then free_slot(id, gate) end
  end
end

local function reserve(id, event, missing, first)
  local passes = redis.call('HINCRBY', event_key(id), 'ps', 1)
  for i = 1, passes >= PASSES and first - 1 or 0 do
    local gate, state = unpack(missing[i])
    local half = math.floor(math.min(state.p or math.huge, state.r or math.huge) / 2)
    if redis.call('SCARD', reserved_key(gate)) < math.max(1, half) then
      redis.call('SADD', reserved_key(gate), id)
      hold(id, gate, state)
    end
  end
end

local function unreserve(id, event)
  if not event.ps then return end
  for _, gate in ipairs(gates_of(event)) do redis.call('SREM', reserved_key(gate), id) end
  redis.call('HDEL', event_key(id), 'ps')
end
