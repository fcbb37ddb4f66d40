-- Divides a worker among destinations and tenants while it is busy. Slow destinations must leave room
-- for others: a part of the worker, the reserve, is kept for destinations that answer fast, and half
-- of it also for new ones. What exceeds a limit waits at a gate: at the gate of its destination, or
-- in the line of its tenant.
local EVENT, GATE = records.EVENT, records.GATE
local SAMPLE_SIZE = 32
local RAMP_PER_S, RAMP_KEPT_MS, DIVERTED_FOR_MS, TRIED_FOR_MS = 16, 1000, 1000, 20
local FAST, SLOW = worker_room.FAST, worker_room.SLOW

-- Reads the options `share` and `paused_routes`. `paused_routes` lists gates of routes whose events
-- must not begin on this worker for a moment. `share` is absent while the worker is not busy; then
-- there are no limits. Its fields; each may be absent:
--   limit: the maximum number of events of one destination in flight, while other destinations have
--     events; 0: no limit.
--   in_flight: the number of events in flight, by gate of the destination.
--   fast, slow: gates of destinations of these classes. All others are unknown.
--   tenants, fast_of, trials_of: the number of events in flight, by tenant; that of events of fast
--     destinations, and that of trials (see lib/worker_room), by tenants that have such.
--   size: the size of the worker.
--   reserve: the size of its reserve.
--   room: how many more events may be in flight.
--   general_room: how many more events of slow destinations may be in flight. Negative if those of
--     unknown destinations use the reserve.
--   trial_room: how many more trials may begin.
function fair_share.new(ctx)
  local option = ctx.options.share or {}
  local share = {
    is_busy = ctx.options.share ~= nil,
    limit = option.limit or 0,
    in_flight = option.in_flight or {},
    tenants = option.tenants or {},
    fast_of = option.fast_of or {},
    trials_of = option.trials_of or {},
    size = option.size or math.huge,
    reserve = option.reserve or 0,
    room = option.room or math.huge,
    general_room = option.general_room or math.huge,
    trial_room = option.trial_room or math.huge,
    destination_count = 0,
    tenant_count = 0,
    classes = {},
    gates = {},
    paused = {},
    waiting = {},
    ramps = {},
    turned_away = {},
    delayed = {},
    sends_fast = {},
  }
  for _, gate in ipairs(ctx.options.paused_routes or {}) do share.paused[gate] = true end
  for _, gate in ipairs(option.fast or {}) do share.classes[gate] = FAST end
  for _, gate in ipairs(option.slow or {}) do share.classes[gate] = SLOW end
  for _ in pairs(share.in_flight) do share.destination_count = share.destination_count + 1 end
  for _ in pairs(share.tenants) do share.tenant_count = share.tenant_count + 1 end
  return share
end

-- Adds two fields to an event: the gates of its origin and its route. The gates are kept in `share`,
-- because many events of a call have the same destination.
local function add_destination(share, event)
  local destination = event.destination or ''
  if not event.owner or destination == '' then return end
  local gates_of = share.gates[event.owner] or {}
  share.gates[event.owner] = gates_of
  local found = gates_of[destination]
  if not found then
    found = {routes.gates_of(gates.of_origin(event.owner, ''), destination)}
    gates_of[destination] = found
  end
  event.origin_gate, event.route_gate = found[1], found[2]
end

-- Reads an event, and counts its destination and tenant if the worker is busy. The function `begin`
-- reads all events of a call before it begins any of them, because some limits apply only if there
-- are several destinations or tenants.
function fair_share.read_event(ctx, share, id)
  local event = records.read_event(ctx, id)
  add_destination(share, event)
  local gate = event.origin_gate
  if not gate or not share.is_busy then return event end
  if not share.in_flight[gate] then
    share.in_flight[gate], share.destination_count = 0, share.destination_count + 1
  end
  event.tenant = gates.tenant_of(event.owner)
  if not share.tenants[event.tenant] then
    share.tenants[event.tenant], share.tenant_count = 0, share.tenant_count + 1
  end
  return event
end

-- Returns the gates of an event's origin and route, each only if it is held (see
-- `gates.hold_destination`), otherwise nil or false. Usually nothing is held at all. So the function
-- first reads, once per call, whether anything is held.
local function held_destinations(ctx, share, event)
  if not event.origin_gate then return end
  if share.any_held == nil then
    share.any_held = redis.call('EXISTS', keys.held_destinations(ctx)) == 1
  end
  if share.any_held then return routes.held(ctx, event.origin_gate, event.route_gate) end
end

-- Returns the held gates of an event, and its way past the origin (see `routes.way_past`). Adds a
-- field `held` to the event, for the worker's reports: `o` if the origin holds the event, `r` if the
-- route does, `p` if the event passes the origin because its route is healthy. Such events tell
-- nothing about the routes because of which the origin is slowed. `fair_share.refusal` adds `t` for a
-- trial.
function fair_share.held_gates(ctx, share, event)
  local origin, route = held_destinations(ctx, share, event)
  local way = origin and routes.way_past(ctx, origin, gates.state(ctx, origin), event)
  local at_origin = way == routes.HEALTHY and 'p' or origin and 'o' or ''
  event.held = at_origin .. (route and 'r' or '')
  return origin, route, way
end

-- Counts an event that has begun.
function fair_share.count_begun(share, event)
  local gate, tenant = event.origin_gate, event.tenant
  if not tenant then return end
  share.in_flight[gate] = share.in_flight[gate] + 1
  share.tenants[tenant] = share.tenants[tenant] + 1
  share.room = share.room - 1
  if event.is_trial then
    share.trial_room = share.trial_room - 1
    share.trials_of[tenant] = (share.trials_of[tenant] or 0) + 1
  elseif share.classes[gate] ~= FAST then
    share.general_room = share.general_room - 1
  else
    share.fast_of[tenant] = (share.fast_of[tenant] or 0) + 1
    share.sends_fast[tenant] = true
  end
end

-- Returns the place of a gate among the gates of an event: queue and flow-control key, origin,
-- route, other operator limits.
local function place(gate)
  if gates.is_named_by_owner(gate) then return 1 end
  if not gates.is_destination(gate) then return 4 end
  return routes.is_route(gate) and 3 or 2
end

-- Adds a gate to the gates of an event.
local function add_gate(ctx, id, event, gate)
  local names, later = {}, {}
  for _, name in ipairs(gates.of(event)) do
    if name == gate then return end
    local list = place(name) <= place(gate) and names or later
    list[#list + 1] = name
  end
  names[#names + 1] = gate
  for _, name in ipairs(later) do names[#names + 1] = name end
  local leased_until = not event.gates and redis.call('ZSCORE', keys.leased(ctx), id)
  event.gates = table.concat(names, ' ')
  redis.call('HSET', keys.event(ctx, id), EVENT.gates, event.gates)
  if not leased_until then return end
  redis.call('ZADD', keys.leased(ctx), leased_until, '~' .. id)
  redis.call('ZREM', keys.leased(ctx), id)
end

-- Starts the ramp of a gate, or restarts it at half of the present rate. So the rate stays close to
-- what the workers can take. Of the events that are turned away within a second, only one counts.
local function restart_ramp(ctx, gate, state)
  local since, per_s = state.ramp_since_ms, RAMP_PER_S
  if since and ctx.now - since < RAMP_KEPT_MS then return end
  if since then per_s = math.max(RAMP_PER_S, math.floor(state.rate / 2)) end
  if gates.is_slow_gate(gate) then
    gates.start_slow_gate(ctx, gate, GATE.ramp_since_ms, ctx.now, GATE.ramp_rate, per_s)
  else
    gates.hold_destination(ctx, gate, ctx.now, GATE.ramp_since_ms, ctx.now, GATE.ramp_rate, per_s)
  end
end

-- Notes that the events of an origin must wait at a gate. For at most a second from the first note
-- on, claims move its events there (`fair_share.divert`).
local function note_turned_away(ctx, share, origin, gate)
  if share.turned_away[origin] == gate then return end
  share.turned_away[origin] = gate
  local key = keys.turned_away(ctx)
  redis.call('HSET', key, origin, gate)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, DIVERTED_FOR_MS) end
end

-- Whether workers have turned events away within the last second.
function fair_share.turns_away(ctx) return redis.call('EXISTS', keys.turned_away(ctx)) == 1 end

-- Makes an event wait at a gate, because a limit of the worker is reached. The gate admits waiting
-- events at a rising rate (the ramp, see lib/gates). A paused destination needs no ramp, because it
-- admits no events, and neither does a destination with a breaker: it has the limits of the breaker.
-- A call restarts the ramp of a gate and plans its check only once, because it may turn many away.
local function turn_away(ctx, share, id, event, gate)
  add_gate(ctx, id, event, gate)
  if redis.call('SISMEMBER', keys.holders(ctx, gate), id) == 1 then
    redis.call('RPUSH', keys.begins(ctx, gate), string.format('%.0f', ctx.now))
    redis.call('PEXPIRE', keys.begins(ctx, gate), 2000)
  end
  local state = share.ramps[gate]
  if state then
    slots.wait_at(ctx, id, event, gate, state)
  else
    state = gates.state(ctx, gate)
    local has_ramp = not (state.paused_ms or state.breaker)
    if has_ramp then restart_ramp(ctx, gate, state) end
    slots.wait_at(ctx, id, event, gate)
    share.ramps[gate] = has_ramp and state or nil
  end
  slots.release(ctx, id, event)
  note_turned_away(ctx, share, event.origin_gate, gate)
  if gates.is_slow_gate(gate) then share.waiting[event.tenant] = true else share.any_held = true end
end

-- Moves a due event without gates to the gate at which workers make the events of its origin wait.
-- Returns false if there is no such gate. So a flood to a slow destination does not pass through RQ
-- and the workers, where it would delay other events.
function fair_share.divert(ctx, share, id)
  local event = slots.read(ctx, id)
  add_destination(share, event)
  local origin, turned_away = event.origin_gate, share.turned_away
  if not origin or event.state or event.gates then return false end
  if turned_away[origin] == nil then
    turned_away[origin] = redis.call('HGET', keys.turned_away(ctx), origin)
  end
  local gate = turned_away[origin]
  if not gate then return false end
  local planned = share.ramps[gate]
  share.ramps[gate] = planned or gates.state(ctx, gate)
  slots.start_waiting(ctx, id, event, gate, share.ramps[gate])
  if not planned then gates.plan_check(ctx, gate) end
  return true
end

-- Makes an event of a fast destination leave the line of its tenant.
local function leave_gate(ctx, share, id, line)
  local event = slots.read(ctx, id)
  add_destination(share, event)
  if event.waits_at ~= line or event.state or share.classes[event.origin_gate] ~= FAST then return end
  gates.leave_slow_gate(keys.event(ctx, id), event)
  due.put(ctx, due.member(id, event), records.integer(event, 'due_ms'))
  slots.stop_waiting(ctx, id, event)
end

-- Called after events have begun. Events may have joined the line of their tenant before their
-- destination was known to be fast. For each tenant with events to fast destinations in this call,
-- looks at a sample of the line, and makes the events of fast destinations due again. An unreadable
-- event is left to the next check of the line.
function fair_share.let_fast_leave(ctx, share)
  for tenant in pairs(share.sends_fast) do
    local line = gates.slow_gate_of(tenant)
    for _, id in ipairs(redis.call('ZRANDMEMBER', keys.waiters(ctx, line), SAMPLE_SIZE)) do
      pcall(leave_gate, ctx, share, id, line)
    end
  end
end

-- Returns nil if an event may begin on this worker, otherwise the code of the answer: `held` if this
-- call has moved the event to `due` or to the waiting line of a gate, `full` if the worker must wait
-- until it has room.
function fair_share.refusal(ctx, share, id, event)
  local gate = event.origin_gate
  if gate and share.paused[event.route_gate] then
    due.delay(ctx, {due.member(id, event)})
    return 'held'
  end
  local full, line
  if event.tenant then
    full, line = worker_room.limits(ctx, share, event)
    if full == worker_room.LATER then
      due.lease(ctx, {due.member(id, event)}, TRIED_FOR_MS)
      return 'held'
    end
    if not full and share.room <= 0 then return 'full' end
  end
  local origin, route, way = fair_share.held_gates(ctx, share, event)
  if way == routes.NEW then add_gate(ctx, id, event, routes.gate_of_new(origin)) end
  if origin and not way then add_gate(ctx, id, event, gate) end
  if route then add_gate(ctx, id, event, route) end
  if full then
    turn_away(ctx, share, id, event, full)
    return 'held'
  end
  if line then add_gate(ctx, id, event, line) end
  if event.is_trial then event.held = event.held .. 't' end
  if not event.gates or slots.admit(ctx, id, event) then return nil end
  if line then note_turned_away(ctx, share, gate, line) end
  return 'held'
end
