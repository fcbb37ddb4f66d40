-- What a gate is, what state it is in, and when it next admits an event.
--
-- A gate is named by its kind and owner: q: a queue, f: a flow-control key, d: a destination,
-- h: a host, t: a tenant, a: everything. An event names its gates in the order of their checks.
-- A queue has no slots: its line holds all its unfinished events in the order of acceptance, and
-- the first `parallelism` of them may go. Any other gate has holders (event ids), waiters by the
-- time they were first due, and for a rate the begins of one period and who was admitted but has
-- not begun.
local GATE = records.GATE
local CHECK_EVERY_MS, JITTER_MS, DAY_MS = 5000, 20, 86400000
local RAMP_DOUBLES_MS, RAMP_LIMIT = 2000, 1000
local KEPT_MS = 14 * DAY_MS
local STATE = records.fields(GATE, 'parallelism', 'rate', 'period_ms', 'paused_ms',
  'closed_until_ms', 'breaker_open', 'ramp_since_ms', 'ramp_rate', 'cancel_until', 'origin',
  'check_from')
local NUMBERS = {'parallelism', 'rate', 'period_ms', 'closed_until_ms', 'ramp_since_ms',
  'ramp_rate', 'check_from'}

gates.CHECK_EVERY_MS, gates.JITTER_MS, gates.DAY_MS = CHECK_EVERY_MS, JITTER_MS, DAY_MS
gates.KEPT_MS = KEPT_MS

function gates.is_queue(gate) return string.sub(gate, 1, 2) == 'q:' end

function gates.is_destination(gate) return string.sub(gate, 1, 2) == 'd:' end

-- Queues and flow-control keys bear names that their owner chose.
function gates.is_named_by_owner(gate) return string.find(gate, '^[qf]:') ~= nil end

-- The index of an owner's queues or of their flow-control keys, whichever the gate is one of.
function gates.index(ctx, owner, gate)
  return gates.is_queue(gate) and keys.queues(ctx, owner) or keys.flow_keys(ctx, owner)
end

-- A destination's gate belongs to one tenant, so no tenant closes it for another.
function gates.of_destination(owner, digest)
  return 'd:' .. string.match(owner, '^[^:]*') .. ':' .. digest
end

-- The gates of an event, in the order of their checks.
function gates.of(event)
  local found = {}
  for gate in string.gmatch(event.gates or '', '%S+') do found[#found + 1] = gate end
  return found
end

-- The limits as they hold now. A half-open breaker admits one probe at a time; a ramp is a rate
-- that doubles every two seconds.
function gates.state(ctx, gate)
  local state = records.read(keys.gate(ctx, gate), STATE)
  for _, name in ipairs(NUMBERS) do
    state[name] = state[name] and records.integer(state, name)
  end
  if gates.is_queue(gate) then
    state.parallelism, state.check_from = state.parallelism or 1, state.check_from or 0
  end
  if state.breaker_open then state.parallelism = 1 end
  if state.ramp_since_ms then
    local doubled = math.floor((ctx.now - state.ramp_since_ms) / RAMP_DOUBLES_MS)
    local rate = (state.ramp_rate or 1) * 2 ^ math.min(30, math.max(0, doubled))
    state.rate, state.period_ms = math.min(RAMP_LIMIT, rate), 1000
  end
  state.closed = state.paused_ms or state.cancel_until
    or (state.closed_until_ms and state.closed_until_ms > ctx.now)
  return state
end

-- When a slot is free: now or later. No period may see more begins than the rate, so an admitted
-- event counts until it begins, and a begin counts for one period. Begins that lie in the future
-- were logged before the clock was set back: they are dropped.
function gates.opens_at(ctx, gate, state)
  local now = ctx.now
  if state.parallelism and redis.call('SCARD', keys.holders(ctx, gate)) >= state.parallelism then
    return now + CHECK_EVERY_MS
  end
  if not state.rate then return now end
  local left = state.rate - redis.call('SCARD', keys.not_begun(ctx, gate))
  if left <= 0 then return now + CHECK_EVERY_MS end
  local begun = tonumber(redis.call('LINDEX', keys.begins(ctx, gate), -left) or 0)
  if begun > now then
    redis.call('DEL', keys.begins(ctx, gate))
    return now
  end
  return math.max(now, begun + (state.period_ms or 1000) + JITTER_MS)
end

-- The limits of a gate outlast its events by two weeks.
function gates.keep(ctx, gate, wanted_ms)
  wanted_ms = wanted_ms or KEPT_MS
  local left = redis.call('PTTL', keys.gate(ctx, gate))
  if left >= 0 and left < wanted_ms - 7 * DAY_MS then
    redis.call('PEXPIRE', keys.gate(ctx, gate), wanted_ms)
  end
end

-- A gate with waiters stands in `due` itself, at its next check, so no wake-up can be lost.
function gates.check_at(ctx, gate, at)
  local member = 'g:' .. gate
  local planned = redis.call('ZSCORE', keys.due(ctx), member)
  if planned and tonumber(planned) <= at then return end
  redis.call('ZADD', keys.due(ctx), at, member)
  if not planned then redis.call('SADD', keys.waiting_gates(ctx), gate) end
  due.wake_for(ctx, at)
end

function gates.check_no_more(ctx, gate)
  redis.call('ZREM', keys.due(ctx), 'g:' .. gate)
  redis.call('SREM', keys.waiting_gates(ctx), gate)
end

-- Puts the gate into `due` while a check is needed, unless a person paused it.
function gates.place(ctx, gate)
  local state, queue = gates.state(ctx, gate), gates.is_queue(gate)
  local waiting = state.cancel_until
    or queue and (state.check_from > 0
      or redis.call('ZCARD', keys.order(ctx, gate)) > state.parallelism)
    or not queue and redis.call('EXISTS', keys.waiters(ctx, gate)) == 1
  local needed = waiting or state.breaker_open or state.ramp_since_ms or state.origin
  local later = ctx.now + CHECK_EVERY_MS
  if state.paused_ms or not needed then return gates.check_no_more(ctx, gate) end
  if state.closed then return gates.check_at(ctx, gate, state.closed_until_ms or later) end
  if queue then return gates.check_at(ctx, gate, state.check_from > 0 and ctx.now or later) end
  gates.check_at(ctx, gate, waiting and gates.opens_at(ctx, gate, state) or later)
end

-- From now on every begin checks this destination's gate. It is forgotten two weeks after its last
-- event, unless a person paused it. `...` are fields and values of its record.
function gates.hold_destination(ctx, gate, at, ...)
  local key = keys.gate(ctx, gate)
  redis.call('HSET', keys.held_destinations(ctx), gate, at)
  redis.call('HSETNX', key, GATE.created_ms, ctx.now)
  redis.call('HSET', key, ...)
  if redis.call('PTTL', key) >= 0 or redis.call('HEXISTS', key, GATE.paused_ms) == 1 then return end
  redis.call('PEXPIRE', key, KEPT_MS)
end
