-- Part of lift: what only events with gates need, and those that others wait for.
-- Expects nothing; defines what its parts do, shut_gate, leave, let_go.

--# include gates
--# include admit
--# include grant

-- From now on begins look at the gate of a destination. It is forgotten two weeks after its last
-- event, unless a person paused it.
local function shut_gate(gate, at, ...)
  local key = gate_key(gate)
  redis.call('HSET', SHUT, gate, at)
  redis.call('HSETNX', key, 'c', now)
  redis.call('HSET', key, ...)
  if redis.call('PTTL', key) >= 0 or redis.call('HEXISTS', key, 'pz') == 1 then return end
  redis.call('PEXPIRE', key, 14 * DAY_MS)
end

-- Leaves the queues for good, and lets those in that waited for what it held.
local function leave(id, event)
  for _, gate in ipairs(gates_of(event)) do
    local ok, left = pcall(redis.call, 'ZREM', is_queue(gate) and order_key(gate) or 'never', id)
    if ok and left == 1 then freed[#freed + 1] = gate end
  end
  grant_freed()
end

-- Whoever waited for an event that has ended, in a schedule that lets none overlap, goes on.
local function let_go(id)
  local event = read(event_key(id), 'o', 'st', 'n', 'w', 'g', 'l')
  if not event.o or event.st or event.n or not event.w or event.l then
    return
  end
  redis.call('HSET', event_key(id), 'at', now)
  put_due(member_of(id, event), now)
end
