-- Limits how many events of one destination a worker sends at the same time. The limit applies only
-- while the worker has events of several destinations. If a destination has reached the limit, its
-- further events wait at the gate of the destination.
local EVENT, GATE = records.EVENT, records.GATE
local RAMP_PER_S = 16

-- Reads the options `share` and `paused_routes`. `paused_routes` lists gates of routes whose events
-- must not begin on this worker for a moment. If `share` is absent, there is no limit. Its fields:
--   limit: the maximum number of events of one destination in flight, while other destinations have
--     events.
--   in_flight: the number of events in flight, by gate of the destination.
--   only_others: true if the worker accepts no further events of a destination that has reached the
--     limit, even if no other destination has events.
function fair_share.new(ctx)
  local option = ctx.options.share
  local share = {
    limit = option and option.limit or 0,
    only_others = option and option.only_others,
    in_flight = option and option.in_flight or {},
    destinations = 0,
    gates = {},
    paused = {},
  }
  for _, gate in ipairs(ctx.options.paused_routes or {}) do share.paused[gate] = true end
  for _ in pairs(share.in_flight) do share.destinations = share.destinations + 1 end
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

-- Reads an event and counts its destination. The function `begin` reads all events of a call before
-- it begins any of them, because the limit applies only if there are several destinations.
function fair_share.read_event(ctx, share, id)
  local event = records.read_event(ctx, id)
  add_destination(share, event)
  local gate = event.origin_gate
  if gate and not share.in_flight[gate] then
    share.in_flight[gate], share.destinations = 0, share.destinations + 1
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
-- nothing about the routes because of which the origin is slowed.
function fair_share.held_gates(ctx, share, event)
  local origin, route = held_destinations(ctx, share, event)
  local way = origin and routes.way_past(ctx, origin, gates.state(ctx, origin), event)
  local at_origin = way == routes.HEALTHY and 'p' or origin and 'o' or ''
  event.held = at_origin .. (route and 'r' or '')
  return origin, route, way
end

function fair_share.count_begun(share, gate)
  if gate then share.in_flight[gate] = share.in_flight[gate] + 1 end
end

-- Returns the place of a gate among the gates of an event: queue and flow-control key, origin,
-- route, other operator limits.
local function place(gate)
  if gates.is_named_by_owner(gate) then return 1 end
  if not gates.is_destination(gate) then return 4 end
  return routes.is_route(gate) and 3 or 2
end

-- Adds the gate of an event's origin or route to the event's gates.
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

-- Makes an event wait at the gate of its destination, because the destination has reached the
-- limit. The gate admits waiting events at a rising rate (the ramp, see lib/gates). Each event that
-- is turned away restarts the ramp. A paused destination needs no ramp, because it admits no
-- events, and neither does a destination with a breaker: it has the limits of the breaker.
local function turn_away(ctx, id, event, gate)
  if redis.call('SISMEMBER', keys.holders(ctx, gate), id) == 1 then
    redis.call('RPUSH', keys.begins(ctx, gate), string.format('%.0f', ctx.now))
    redis.call('PEXPIRE', keys.begins(ctx, gate), 2000)
  end
  local state = gates.state(ctx, gate)
  if not (state.paused_ms or state.breaker) then
    gates.hold_destination(ctx, gate, ctx.now, GATE.ramp_since_ms, ctx.now, GATE.ramp_rate,
      RAMP_PER_S)
  end
  slots.wait_at(ctx, id, event, gate)
  slots.release(ctx, id, event)
end

-- Returns whether an event may begin on this worker. If the event may not begin, moves it to `due`
-- or to the waiting line of a gate.
function fair_share.admit(ctx, share, id, event)
  local gate = event.origin_gate
  if gate and share.paused[event.route_gate] then
    due.delay(ctx, {due.member(id, event)})
    return false
  end
  local over = gate and share.limit > 0 and share.in_flight[gate] >= share.limit
  if over and share.destinations == 1 then
    if share.only_others then
      due.put(ctx, due.member(id, event), records.integer(event, 'due_ms'))
      return false
    end
    over = false
  end
  local origin, route, way = fair_share.held_gates(ctx, share, event)
  if way == routes.NEW then add_gate(ctx, id, event, routes.gate_of_new(origin)) end
  if over or origin and not way then add_gate(ctx, id, event, gate) end
  if route then add_gate(ctx, id, event, route) end
  if over then
    turn_away(ctx, id, event, gate)
    share.any_held = true
    return false
  end
  return not event.gates or slots.admit(ctx, id, event)
end
