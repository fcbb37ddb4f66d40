-- Breakers of origins and routes (see lib/routes). The states of a breaker:
--
--   closed: no field `breaker`. Nothing is held.
--   open: nothing is sent but one probe at a time, and events that were held for the longest time.
--   slowed: events are sent in the trickle.
--   ramp: events are sent at a rising rate. The field `breaker` has the state before the ramp.
--
-- An origin opens if it cannot be reached. A route is slowed if it fails, and opens if it asks for a
-- delay. An origin is slowed if several of its routes are slowed and nothing there succeeds.
local GATE = records.GATE
local RECENT, ENOUGH, ALL_OF = 10, 5, 3
local ROUTES_TO_SLOW, DELAYS_TO_OPEN, LONGEST_DELAY_MS = 3, 3, 60000
local RAMP_MS, TRICKLE = 60000, 5
local STATE = records.fields(GATE, 'breaker', 'probes_failed', 'closed_until_ms', 'ramp_since_ms',
  'recent', 'trickle_rate')
local USED = records.fields(GATE, 'closed_until_ms', 'failed_ms', 'since_ms')
-- The value of an outcome: '1' if the gate works, '0' if it does not, '' if the outcome says nothing
-- about it. Outcomes: s success, r failure of the route, o failure of the origin, n delay, x nothing
-- of these.
local OF_ROUTE = {s = '1', r = '0', o = '', n = '', x = ''}
local OF_OPEN_ORIGIN = {s = '1', r = '1', o = '0', n = '1', x = ''}
local OF_SLOWED_ORIGIN = {s = '1', r = '0', o = '0', n = '', x = ''}

breaker.OPEN, breaker.SLOWED = '1', 's'
-- The report of an attempt may come this long after its settlement.
breaker.REPORTED_AFTER_MS = 1000
-- A breaker is forgotten if nobody waits at its gate, and nothing was sent there, for this long.
breaker.IDLE_MS = 600000

-- Sets the limits of the trickle in the state of a gate.
function breaker.limit(state)
  state.parallelism = math.min(state.parallelism or math.huge, state.trickle_parallelism or TRICKLE)
  state.rate, state.period_ms = state.trickle_rate or TRICKLE, 1000
end

-- Returns when the breaker last changed, probed or saw a failure.
function breaker.last_used_ms(ctx, gate)
  local used, latest = records.read(keys.gate(ctx, gate), USED), 0
  for name in pairs(used) do latest = math.max(latest, records.integer(used, name)) end
  return latest
end

-- Closes a breaker, and ends the hold of its gate. `...` are more fields to remove. Deletes the
-- record of the gate if only the creation time is left.
function breaker.forget(ctx, gate, ...)
  local key = keys.gate(ctx, gate)
  redis.call('HDEL', key, GATE.breaker, GATE.probes_failed, GATE.closed_until_ms,
    GATE.ramp_since_ms, GATE.ramp_rate, GATE.trickle_rate, GATE.trickle_parallelism,
    GATE.longest_holds, GATE.recent, GATE.since_ms, GATE.url, GATE.cause, GATE.failed_ms, ...)
  redis.call('HDEL', keys.held_destinations(ctx), gate)
  if redis.call('HLEN', key) == 1 then redis.call('DEL', key) end
end

-- Holds a gate in a new state. Counters of the state before are cleared.
local function enter(ctx, gate, state, at, item, ...)
  local options, key = ctx.options, keys.gate(ctx, gate)
  redis.call('HDEL', key, GATE.ramp_since_ms, GATE.ramp_rate, GATE.recent)
  redis.call('DEL', keys.health(ctx, gate))
  if redis.call('HGET', key, GATE.breaker) ~= state then
    redis.call('HSET', key, GATE.since_ms, ctx.now)
  end
  gates.hold_destination(ctx, gate, at, GATE.url, item.url, GATE.cause, item.cause, GATE.failed_ms,
    ctx.now, GATE.trickle_parallelism, options.trickle_parallelism, GATE.longest_holds,
    options.longest_holds, GATE.breaker, state, ...)
  gates.plan_check(ctx, gate)
end

local function open(ctx, gate, item, hold_ms, probes_failed)
  local until_ms = ctx.now + math.floor(hold_ms)
  enter(ctx, gate, breaker.OPEN, until_ms, item, GATE.probes_failed, probes_failed,
    GATE.closed_until_ms, until_ms, GATE.trickle_rate, ctx.options.trickle_per_s)
end

-- Opens a breaker. Each failed probe doubles the time to the next one, with some deviation, so that
-- not all breakers of a failed network send their probes at the same time.
local function open_and_probe(ctx, gate, item, probes_failed)
  local options = ctx.options
  local hold_ms = options.hold_ms * 2 ^ math.min(probes_failed, 20)
  open(ctx, gate, item, math.min(options.longest_hold_ms, hold_ms) * options.deviation,
    probes_failed)
end

local function slow(ctx, gate, item, per_s)
  redis.call('HDEL', keys.gate(ctx, gate), GATE.closed_until_ms, GATE.probes_failed)
  enter(ctx, gate, breaker.SLOWED, ctx.now, item,
    GATE.trickle_rate, math.max(ctx.options.trickle_per_s, math.floor(per_s / 10)))
end

local function start_ramp(ctx, gate, state)
  local rate = state.breaker == breaker.OPEN and ctx.options.ramp_per_s
    or state.trickle_rate or TRICKLE
  local key = keys.gate(ctx, gate)
  redis.call('HDEL', key, GATE.closed_until_ms, GATE.probes_failed, GATE.recent)
  redis.call('HSET', key, GATE.ramp_since_ms, ctx.now, GATE.ramp_rate, rate, GATE.since_ms,
    ctx.now)
  redis.call('DEL', keys.health(ctx, gate))
  slots.promote_waiters(ctx, gate)
  return 'half_open'
end

local function close(ctx, gate)
  if redis.call('HEXISTS', keys.gate(ctx, gate), GATE.paused_ms) == 1 then return '' end
  breaker.forget(ctx, gate)
  redis.call('DEL', keys.health(ctx, gate))
  slots.promote_waiters(ctx, gate)
  return 'closed'
end

-- Adds the outcomes of attempts that began while the gate was held. Returns the last ten.
local function add_outcomes(ctx, gate, state, item)
  local values = OF_ROUTE
  if not routes.is_route(gate) then
    values = state.breaker == breaker.OPEN and OF_OPEN_ORIGIN or OF_SLOWED_ORIGIN
  end
  local added = string.gsub(item.held_outcomes, '.', values)
  local recent = string.sub((state.recent or '') .. added, -RECENT)
  if added ~= '' then redis.call('HSET', keys.gate(ctx, gate), GATE.recent, recent) end
  if string.find(added, '0') then
    redis.call('HSET', keys.gate(ctx, gate), GATE.cause, item.cause, GATE.failed_ms, ctx.now)
  end
  return recent, added
end

local function count(recent, value)
  local _, number = string.gsub(recent, value, '')
  return number
end

local function open_until_delay(ctx, gate, item)
  open(ctx, gate, item, math.min(item.delay_ms, LONGEST_DELAY_MS), 0)
end

-- A ramp ends when nobody waits or after a minute. It fails if half of the attempts fail.
local function report_ramp(ctx, gate, state, item)
  local recent, added = add_outcomes(ctx, gate, state, item)
  if count(recent, '0') >= ENOUGH then
    if state.breaker == breaker.OPEN then
      open_and_probe(ctx, gate, item, 0)
      return 'open'
    end
    slow(ctx, gate, item, 10 * (state.trickle_rate or TRICKLE))
    return 'slowed'
  end
  local is_over = ctx.now - records.integer(state, 'ramp_since_ms') >= RAMP_MS
  local is_empty = redis.call('EXISTS', keys.waiters(ctx, gate)) == 0
  if is_over or is_empty and string.find(added, '1') then return close(ctx, gate) end
  return ''
end

local function report_open(ctx, gate, state, item)
  local _, added = add_outcomes(ctx, gate, state, item)
  local is_probe = item.held_outcomes ~= ''
  if string.find(added, '1') then return start_ramp(ctx, gate, state) end
  if routes.is_route(gate) and string.find(item.held_outcomes, 'n') then
    open_until_delay(ctx, gate, item)
    return 'probe_failed'
  end
  if not is_probe or records.integer(state, 'closed_until_ms', '0') > ctx.now then return '' end
  open_and_probe(ctx, gate, item, records.integer(state, 'probes_failed', '0') + 1)
  return 'probe_failed'
end

local function report_slowed(ctx, gate, state, item)
  local recent = add_outcomes(ctx, gate, state, item)
  local few = redis.call('ZCARD', keys.waiters(ctx, gate)) < RECENT
    and string.find(recent, string.rep('1', ALL_OF) .. '$')
  if few or count(recent, '1') >= ENOUGH then return start_ramp(ctx, gate, state) end
  return ''
end

-- Opens a route that has asked for a delay three times in a row, until the earliest of these times.
local function report_delays(ctx, gate, item)
  local delays = string.match(item.outcomes, 'n*$')
  local all = #delays == #item.outcomes
  local number = breaker_health.count_delays(ctx, gate, #delays, all, ctx.options.window_ms)
  if number < DELAYS_TO_OPEN then return nil end
  open_until_delay(ctx, gate, item)
  return 'open'
end

local function is_failing(ctx, attempts, failures)
  local minimum, percent = ctx.options.attempts, ctx.options.percent
  return minimum > 0 and attempts >= minimum and failures * 100 >= percent * attempts
end

local function report_origin(ctx, gate, state, item)
  local attempts, failures, successes = breaker_health.count(ctx, gate, item.attempts,
    item.failures, item.successes, ctx.options.window_ms)
  if is_failing(ctx, attempts, failures) then
    open_and_probe(ctx, gate, item, 0)
    return 'open'
  end
  if state.breaker then return nil end
  if successes > 0 or routes.count_slowed(ctx, gate) < ROUTES_TO_SLOW then return '' end
  slow(ctx, gate, item, breaker_health.per_s(ctx, gate, attempts, ctx.options.window_ms))
  return 'slowed'
end

local function report_route(ctx, gate, item)
  local window_ms = ctx.options.window_ms
  local attempts, failures = breaker_health.count(ctx, gate, item.attempts, item.failures,
    item.successes, window_ms)
  if not is_failing(ctx, attempts, failures) then return '' end
  slow(ctx, gate, item, breaker_health.per_s(ctx, gate, attempts, window_ms))
  return 'slowed'
end

-- Counts the outcomes of attempts at an origin or route. Returns the new state of the breaker, or
-- probe_failed, or '' if the state does not change. Fields of `item`:
--   gate, attempts, failures, successes.
--   outcomes: of the last attempts, oldest first.
--   held_outcomes: likewise, of the attempts that began while the gate was held.
--   delay_ms: how long the receiver asked to wait, at least.
--   url, cause: of the last failure, for people.
function breaker.report(ctx, item)
  local gate, is_route = item.gate, routes.is_route(item.gate)
  if is_route then
    gate = routes.track(ctx, gate, ctx.options.window_ms)
    if gate ~= item.gate then item.url = routes.readable_shared(item.url) end
  end
  local state = records.read(keys.gate(ctx, gate), STATE)
  local ramp = state.breaker and state.ramp_since_ms
  if state.breaker == breaker.OPEN and not ramp then return report_open(ctx, gate, state, item) end
  local answer = is_route and report_delays(ctx, gate, item)
  if answer then return answer end
  if ramp then return report_ramp(ctx, gate, state, item) end
  if is_route and not state.breaker then return report_route(ctx, gate, item) end
  answer = not is_route and report_origin(ctx, gate, state, item)
  return answer or report_slowed(ctx, gate, state, item)
end
