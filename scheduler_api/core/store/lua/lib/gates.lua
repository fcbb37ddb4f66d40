-- Gates: their names, their state, and the times when they admit events.
--
-- The name of a gate starts with its kind: q: queue, f: flow-control key, d: origin or route of a
-- destination (see lib/routes), h: host, t: tenant, or its line, a: everything. An event lists its
-- gates in the order in which they are checked.
--
-- A queue lists all its unfinished events in the order of acceptance, and admits the first
-- `parallelism` of them. A queue has no slots.
-- Any other gate has holders (ids of admitted events) and waiters (ids of waiting events, in the
-- order of `gates.rank`). If such a gate has a rate, it also has a list of the times at which
-- attempts began, and a set of the holders whose attempts have not begun.
local EVENT, GATE = records.EVENT, records.GATE
local CHECK_EVERY_MS, JITTER_MS, DAY_MS = 5000, 20, 86400000
local RAMP_DOUBLES_MS, RAMP_LIMIT = 2000, 1000
local KEPT_MS = 14 * DAY_MS
local STATE = records.fields(GATE, 'parallelism', 'rate', 'period_ms', 'paused_ms',
  'closed_until_ms', 'breaker', 'trickle_rate', 'trickle_parallelism', 'longest_holds',
  'ramp_since_ms', 'ramp_rate', 'cancel_until', 'origin', 'check_from')
local NUMBERS = {'parallelism', 'rate', 'period_ms', 'closed_until_ms', 'trickle_rate',
  'trickle_parallelism', 'ramp_since_ms', 'ramp_rate', 'check_from'}

gates.CHECK_EVERY_MS, gates.JITTER_MS, gates.DAY_MS = CHECK_EVERY_MS, JITTER_MS, DAY_MS
gates.KEPT_MS = KEPT_MS

function gates.is_queue(gate) return string.sub(gate, 1, 2) == 'q:' end

function gates.is_destination(gate) return string.sub(gate, 1, 2) == 'd:' end

-- Whether the owner chose the name of a gate. True for queues and flow-control keys.
function gates.is_named_by_owner(gate) return string.find(gate, '^[qf]:') ~= nil end

-- Returns the key of the owner's index of queues or of flow-control keys, depending on the gate.
function gates.index(ctx, owner, gate)
  return gates.is_queue(gate) and keys.queues(ctx, owner) or keys.flow_keys(ctx, owner)
end

-- Returns the gate of an origin. Each tenant has a separate gate, so that a closed gate affects no
-- other tenant. `destination` is the field of an event (see lib/routes).
function gates.of_origin(owner, destination)
  return 'd:' .. gates.tenant_of(owner) .. ':' .. string.match(destination, '^[^.]*')
end

function gates.tenant_of(owner) return string.match(owner, '^[^:]*') end

-- Returns the gate of a tenant's line. There wait events for which workers have no room, because
-- their destinations are slow or unknown (see lib/fair_share). It is not the gate of the operator's
-- limit `t:<tenant>`, because other events of the tenant must not wait for these.
function gates.slow_gate_of(tenant) return 't:' .. tenant .. ':slow' end

function gates.is_slow_gate(gate) return string.find(gate, '^t:.*:slow$') ~= nil end

-- Returns the gates of an event, in the order in which they are checked.
function gates.of(event)
  local names = {}
  for gate in string.gmatch(event.gates or '', '%S+') do names[#names + 1] = gate end
  return names
end

-- Removes the line of a tenant from the gates of an event: the destination may be fast by now.
function gates.leave_slow_gate(key, event)
  local names = {}
  for _, gate in ipairs(gates.of(event)) do
    if not gates.is_slow_gate(gate) then names[#names + 1] = gate end
  end
  local left = names[1] and table.concat(names, ' ')
  if left == event.gates then return end
  event.gates = left
  if left then redis.call('HSET', key, EVENT.gates, left)
  else redis.call('HDEL', key, EVENT.gates) end
end

-- Returns the present state and limits of a gate. An open or slowed breaker limits the gate to the
-- trickle: a few attempts per second, and a few at the same time. During a ramp, the rate doubles
-- every two seconds.
function gates.state(ctx, gate)
  local state = records.read(keys.gate(ctx, gate), STATE)
  for _, name in ipairs(NUMBERS) do
    state[name] = state[name] and records.integer(state, name)
  end
  if gates.is_queue(gate) then
    state.parallelism, state.check_from = state.parallelism or 1, state.check_from or 0
  end
  state.limited = state.breaker and not state.ramp_since_ms
  state.open = state.limited and state.breaker == breaker.OPEN
  if state.limited then breaker.limit(state) end
  if gates.is_destination(gate) then routes.limit_new(ctx, gate, state) end
  if state.ramp_since_ms then
    local doublings = math.floor((ctx.now - state.ramp_since_ms) / RAMP_DOUBLES_MS)
    local rate = (state.ramp_rate or 1) * 2 ^ math.min(30, math.max(0, doublings))
    state.rate, state.period_ms = math.min(RAMP_LIMIT, rate), 1000
    state.without_slots = state.without_slots or gates.is_slow_gate(gate)
  end
  state.closed = state.paused_ms or state.cancel_until
  return state
end

-- Returns the score of an event in the waiting line of a gate. It is the first due time of the
-- event, so that a retry keeps its place. At an origin or route, it is the time until which the
-- event may be held: its due time, and the longest hold of its dialect.
function gates.rank(gate, state, event)
  if not gates.is_destination(gate) then return records.first_due_ms(event) end
  local dialect = string.match(event.owner, ':(.*)$')
  local hold_ms = string.match(' ' .. (state.longest_holds or ''), ' ' .. dialect .. '=(%d+)')
  return records.integer(event, 'due_ms') + (hold_ms or 0)
end

-- Returns the time when the rate of a gate allows another begin.
--
-- A rate limits the sum of two numbers: the admitted events that have not begun, and the begins
-- during the last period. If a recorded begin is in the future, the clock was set back after the
-- begin. In this case, the function deletes all recorded begins.
local function rate_opens_at(ctx, gate, state)
  local now = ctx.now
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

-- Returns the time when a gate whose breaker is open can admit an event: a probe if no attempt is
-- running, or an event that was held for the longest time, in the trickle.
local function probe_at(ctx, gate, state, rank, running)
  local at = math.huge
  if running == 0 then at = math.max(ctx.now, state.closed_until_ms or ctx.now) end
  if rank and running < state.parallelism then
    at = math.min(at, math.max(rank, rate_opens_at(ctx, gate, state)))
  end
  return at < math.huge and at or ctx.now + CHECK_EVERY_MS
end

-- Returns the time when the gate can admit an event with the given rank. This is now if the limits
-- allow another event. If the time is unknown, returns the time of the next regular check.
function gates.opens_at(ctx, gate, state, rank)
  local running = state.parallelism and redis.call('SCARD', keys.holders(ctx, gate)) or 0
  if state.open then return probe_at(ctx, gate, state, rank, running) end
  if state.parallelism and running >= state.parallelism then return ctx.now + CHECK_EVERY_MS end
  return rate_opens_at(ctx, gate, state)
end

-- Returns the first event in the waiting line of a gate, and its rank, or nil.
function gates.first_waiter(ctx, gate)
  local first = redis.call('ZRANGE', keys.waiters(ctx, gate), 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end

-- Extends the TTL of a gate to `ttl_ms` (default: two weeks). To save writes, extends the TTL only
-- if more than a week is gained. A gate without a TTL does not change.
function gates.extend_ttl(ctx, gate, ttl_ms)
  ttl_ms = ttl_ms or KEPT_MS
  local left = redis.call('PTTL', keys.gate(ctx, gate))
  if left >= 0 and left < ttl_ms - 7 * DAY_MS then
    redis.call('PEXPIRE', keys.gate(ctx, gate), ttl_ms)
  end
end

-- Plans a check of a gate at `at`, unless an earlier check is planned. A planned check is a member
-- of `due`, so a crash does not lose it.
function gates.check_at(ctx, gate, at)
  local member = 'g:' .. gate
  local planned = redis.call('ZSCORE', keys.due(ctx), member)
  if planned and tonumber(planned) <= at then return end
  redis.call('ZADD', keys.due(ctx), at, member)
  if not planned then redis.call('SADD', keys.waiting_gates(ctx), gate) end
  due.wake_for(ctx, at)
end

-- Removes the planned check of a gate.
function gates.cancel_check(ctx, gate)
  redis.call('ZREM', keys.due(ctx), 'g:' .. gate)
  redis.call('SREM', keys.waiting_gates(ctx), gate)
end

-- Plans the next check of a gate. If the gate is paused or needs no check, removes the planned
-- check instead.
function gates.plan_check(ctx, gate)
  local state, queue, first, rank = gates.state(ctx, gate), gates.is_queue(gate), nil, nil
  if not queue then first, rank = gates.first_waiter(ctx, gate) end
  local waiting = state.cancel_until or first
    or queue and (state.check_from > 0
      or redis.call('ZCARD', keys.order(ctx, gate)) > state.parallelism)
  local needed = waiting or state.breaker or state.ramp_since_ms or state.origin
  local later = ctx.now + CHECK_EVERY_MS
  if state.limited and not waiting then
    later = math.max(later, breaker.last_used_ms(ctx, gate) + breaker.IDLE_MS)
  end
  if state.paused_ms or not needed then return gates.cancel_check(ctx, gate) end
  if state.closed then return gates.check_at(ctx, gate, later) end
  if queue then return gates.check_at(ctx, gate, state.check_from > 0 and ctx.now or later) end
  if not waiting then redis.call('ZREM', keys.due(ctx), 'g:' .. gate) end
  gates.check_at(ctx, gate, waiting and gates.opens_at(ctx, gate, state, rank) or later)
end

-- Stores fields and values in the record of a gate. The gate gets a TTL of two weeks, unless it
-- already has a TTL or is paused.
local function store(ctx, gate, ...)
  local key = keys.gate(ctx, gate)
  redis.call('HSETNX', key, GATE.created_ms, ctx.now)
  redis.call('HSET', key, ...)
  if redis.call('PTTL', key) >= 0 or redis.call('HEXISTS', key, GATE.paused_ms) == 1 then return end
  redis.call('PEXPIRE', key, KEPT_MS)
end

-- Holds an origin or route: from `at` on, an event of the origin or route can begin only if the gate
-- admits the event. `...` lists fields and values to store in the record of the gate.
function gates.hold_destination(ctx, gate, at, ...)
  redis.call('HSET', keys.held_destinations(ctx), gate, at)
  store(ctx, gate, ...)
end

-- Stores fields and values in the record of a tenant's line.
function gates.start_slow_gate(ctx, gate, ...) store(ctx, gate, ...) end
