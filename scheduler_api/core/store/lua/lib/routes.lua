-- Origins and routes. An origin is the scheme, host and port of a URL, a route is an origin with a
-- path; `store/gate_names.py` computes both.
--
-- The field `destination` of an event has the form `<origin>.<route>`, each a digest. The gate of
-- the origin is `d:<tenant>:<origin>`, the gate of the route `d:<tenant>:<origin>.<route>`.
-- A route is tracked while its failures are counted. If an origin has more routes than can be
-- tracked, the others share gates: `d:<tenant>:<origin>.*<n>` counts for all with the same number of
-- segments, which is the first digit of a route's digest. Events without a route belong to
-- `d:<tenant>:<origin>.*`.
local GATE = records.GATE
local PER_ORIGIN, PER_CELL, KEPT_MS, FORGOTTEN_PER_CALL = 64, 10000, 3600000, 16
local NEW_SUFFIX, NEW_PER_S = '.new', 5

routes.HEALTHY, routes.NEW = 'healthy', 'new'

-- Returns the gates of the origin and the route of an event. `prefix` is `d:<tenant>:`.
function routes.gates_of(prefix, destination)
  local dot = string.find(destination, '.', 1, true)
  local route = prefix .. destination
  if not dot then return route, route .. '.*' end
  return prefix .. string.sub(destination, 1, dot - 1), route
end

function routes.is_route(gate) return string.find(gate, '.', 1, true) ~= nil end

local function split(gate) return string.match(gate, '^([^.]*)%.(.*)$') end

-- Returns the gate that a route shares with others if it is not tracked.
local function shared_gate(origin, route) return origin .. '.*' .. string.match(route, '^%x?') end

local function is_full(ctx, set)
  return redis.call('ZCARD', set) >= PER_ORIGIN
    or redis.call('ZCARD', keys.routes(ctx)) >= PER_CELL
end

-- Returns the gate that counts for a route: its own gate, or a shared one if the route is not
-- tracked and no more routes can be tracked.
local function gate_for(ctx, route_gate)
  local origin, route = split(route_gate)
  local set = keys.routes_of(ctx, origin)
  local own = redis.call('ZSCORE', set, route) or not is_full(ctx, set)
  return own and route_gate or shared_gate(origin, route)
end

-- Returns the gate of the origin and the gate that counts for the route, each only if it is held.
function routes.held(ctx, origin, route)
  local shared = shared_gate(split(route))
  local held = redis.call('HMGET', keys.held_destinations(ctx), origin, route, shared)
  local as_route = held[2] and route
    or held[3] and gate_for(ctx, route) == shared and shared
  return held[1] and origin, as_route
end

-- Returns what routes that share a gate have in common, such as `https://shop.example/*/*`, from the
-- URL of one of them.
function routes.readable_shared(url)
  local origin, path = string.match(url, '^(%a+://[^/]*)(.*)$')
  return origin and origin .. string.gsub(path, '/[^/]*', '/*') or url
end

-- Forgets a route, unless it is held. Returns whether it is forgotten.
local function forget(ctx, gate)
  if redis.call('HEXISTS', keys.held_destinations(ctx), gate) == 1 then return false end
  local origin, route = split(gate)
  redis.call('ZREM', keys.routes(ctx), gate)
  redis.call('ZREM', keys.routes_of(ctx, origin), route)
  redis.call('DEL', keys.health(ctx, gate))
  return true
end

-- Makes room for one more route. Forgets routes that nobody has reported for `window_ms`; if the
-- cell tracks too many routes, forgets the one that was reported longest ago. Held routes move to
-- the end, so that the next call finds others.
local function make_room(ctx, origin, window_ms)
  local set, before = keys.routes_of(ctx, origin), ctx.now - window_ms
  for _, route in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', before, 'LIMIT', 0,
    FORGOTTEN_PER_CALL)) do
    forget(ctx, origin .. '.' .. route)
  end
  if redis.call('ZCARD', keys.routes(ctx)) < PER_CELL then return end
  for _, gate in ipairs(redis.call('ZRANGE', keys.routes(ctx), 0, FORGOTTEN_PER_CALL - 1)) do
    if forget(ctx, gate) then return end
    redis.call('ZADD', keys.routes(ctx), ctx.now, gate)
  end
end

-- Tracks a reported route. Returns the gate that counts for it.
function routes.track(ctx, route_gate, window_ms)
  local origin, route = split(route_gate)
  local set = keys.routes_of(ctx, origin)
  if not redis.call('ZSCORE', set, route) then
    make_room(ctx, origin, window_ms)
    if is_full(ctx, set) then return shared_gate(origin, route) end
  end
  redis.call('ZADD', set, ctx.now, route)
  redis.call('ZADD', keys.routes(ctx), ctx.now, route_gate)
  redis.call('PEXPIRE', set, KEPT_MS)
  redis.call('PEXPIRE', keys.routes(ctx), KEPT_MS)
  return route_gate
end

-- Returns how many routes of an origin are slowed, or were until their ramp.
function routes.count_slowed(ctx, origin)
  local names, count = {origin .. '.*'}, 0
  for digit in string.gmatch('0123456789abcdef', '.') do
    names[#names + 1] = shared_gate(origin, digit)
  end
  for _, route in ipairs(redis.call('ZRANGE', keys.routes_of(ctx, origin), 0, -1)) do
    if route ~= '*' then names[#names + 1] = origin .. '.' .. route end
  end
  local held = redis.call('HMGET', keys.held_destinations(ctx), unpack(names))
  for i, gate in ipairs(names) do
    local state = held[i] and redis.call('HGET', keys.gate(ctx, gate), GATE.breaker)
    if state == breaker.SLOWED then count = count + 1 end
  end
  return count
end

-- Returns how an event gets past an origin that is slowed because its routes fail: HEALTHY if the
-- event's route had a success lately, NEW if nobody has tried the route lately, otherwise nil.
function routes.way_past(ctx, origin, state, event)
  if state.breaker ~= breaker.SLOWED then return nil end
  if routes.is_route(origin) or not event.destination then return nil end
  local _, route = routes.gates_of(string.match(origin, '^(.*:)'), event.destination)
  local gate = gate_for(ctx, route)
  if redis.call('HEXISTS', keys.held_destinations(ctx), gate) == 1 then return nil end
  local attempts, failures = breaker_health.totals(ctx, gate)
  if attempts == 0 then return routes.NEW end
  return failures < attempts and routes.HEALTHY or nil
end

-- Returns the gate that admits the events of new routes of a slowed origin at a low rate. It has no
-- record.
function routes.gate_of_new(origin) return origin .. NEW_SUFFIX end

-- Sets the limits of a gate for new routes, while its origin is slowed; other gates do not change.
function routes.limit_new(ctx, gate, state)
  if string.sub(gate, -#NEW_SUFFIX) ~= NEW_SUFFIX then return end
  local origin = keys.gate(ctx, string.sub(gate, 1, -#NEW_SUFFIX - 1))
  if redis.call('HGET', origin, GATE.breaker) ~= breaker.SLOWED then return end
  state.rate, state.period_ms, state.without_slots = NEW_PER_S, 1000, true
end
