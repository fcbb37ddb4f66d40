-- Part of every script that takes events out of where they stand: lift, and finish for good.
-- Expects nothing.

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

-- Takes an event out of wherever it stands; its new place, if any, was written before, or is
-- put afterwards by the same script, which then calls grant_freed.
local function lift(id, event)
  local member = member_of(id, event)
  if redis.call('ZREM', LEASED, member) == 0 and redis.call('ZREM', DUE, member) == 0
    and redis.call('ZREM', STUCK, id) == 1 then redis.call('HDEL', WHY, id) end
  if any_alone() then redis.call('SREM', SOLO, id) end
  if not event.g then return end
  leave_line(id, event)
  free(id, event)
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

-- Ends an event: `state` is delivered, dead or cancelled. `event` holds o,
-- and at, w, s, j, n, nx, g, l, ps if any.
local function finish(id, event, state, reason)
  local key, wanted = event_key(id), first_wanted(event)
  redis.call('HSET', key, 'st', state, 'fin', now, 'u', now,
    unpack(reason and {'y', reason} or {}))
  redis.call('HDEL', key, 'tok', 'ptok', 'un', 'in')
  if state ~= 'delivered' then release_mark(event.o, id, key) end
  redis.call('ZADD', finished_key(event.o, state), now, id)
  redis.call('ZREM', by_time_key(event.o, 'active'), id)
  if not event.s then redis.call('ZADD', by_time_key(event.o, state), wanted, id) end
  tell(event, id, state, event.n)
  lift(id, event)
  if event.g then leave(id, event) end
  if event.nx then let_go(event.nx) end
end
