-- Slots: an event needs a slot of each of its gates except queues. The event takes all these slots
-- at the same moment, or waits at the first gate that does not admit the event. When slots become
-- free, the next waiters are promoted.
--
-- Normally, a waiting event holds no slots. An event that was passed over four times reserves
-- slots: while it waits at one gate, it keeps its slots of the gates before that gate. So an event
-- that needs two busy gates does not starve. Events take slots in a fixed order of gates, so they
-- cannot deadlock. At most half of a gate's slots may be reserved.
local EVENT, GATE = records.EVENT, records.GATE
local RESERVES_FROM, PROMOTED_PER_GATE = 4, 16
local ADMITTED = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'state', 'gates',
  'waits_at', 'passed_over', 'turn_exempt', 'destination')
local ENDED = records.fields(EVENT, 'owner', 'state')

function slots.read(ctx, id) return records.read(keys.event(ctx, id), ADMITTED) end

local function take_slot(ctx, id, gate, state)
  redis.call('SADD', keys.holders(ctx, gate), id)
  if state.rate then redis.call('SADD', keys.not_begun(ctx, gate), id) end
end

local function release_slot(ctx, id, gate, reserves)
  if redis.call('SREM', keys.holders(ctx, gate), id) == 1 then
    ctx.freed[#ctx.freed + 1] = gate
  end
  redis.call('SREM', keys.not_begun(ctx, gate), id)
  if reserves then redis.call('SREM', keys.reserved(ctx, gate), id) end
end

-- Releases all slots and reservations of an event, even if a gate is unreadable.
function slots.release(ctx, id, event)
  for _, gate in ipairs(gates.of(event)) do
    if not gates.is_queue(gate) then pcall(release_slot, ctx, id, gate, event.passed_over) end
  end
  if event.passed_over then redis.call('HDEL', keys.event(ctx, id), EVENT.passed_over) end
  event.passed_over = nil
end

-- Removes an event from the waiting line of its gate.
function slots.stop_waiting(ctx, id, event)
  if not event.waits_at then return end
  if not gates.is_queue(event.waits_at) then
    redis.call('ZREM', keys.waiters(ctx, event.waits_at), id)
  end
  redis.call('HDEL', keys.event(ctx, id), EVENT.waits_at, EVENT.waits_since_ms)
  event.waits_at = nil
end

-- Adds an event to the waiting line of a gate, then removes the event from its previous place. The
-- waiting line of a queue is its list of unfinished events. This list already contains the event.
-- `planned` is the state of the gate, if this call has already planned its check.
function slots.wait_at(ctx, id, event, gate, planned)
  local before = event.waits_at
  if not gates.is_queue(gate) then
    local rank = gates.rank(gate, planned or gates.state(ctx, gate), event)
    redis.call('ZADD', keys.waiters(ctx, gate), rank, id)
  end
  if before and before ~= gate and not gates.is_queue(before) then
    redis.call('ZREM', keys.waiters(ctx, before), id)
  end
  if before and gates.is_destination(before) == gates.is_destination(gate) then
    redis.call('HSET', keys.event(ctx, id), EVENT.waits_at, gate)
  else
    redis.call('HSET', keys.event(ctx, id), EVENT.waits_at, gate, EVENT.waits_since_ms, ctx.now)
  end
  event.waits_at = gate
  if not planned then gates.plan_check(ctx, gate) end
  redis.call('ZREM', keys.due(ctx), '~' .. id)
  redis.call('ZREM', keys.leased(ctx), '~' .. id)
end

-- Makes a due event that has no gates wait at a gate, which becomes its only gate. Does the same as
-- `slots.wait_at` with fewer steps, because a call may move many such events.
function slots.start_waiting(ctx, id, event, gate, state)
  redis.call('ZADD', keys.waiters(ctx, gate), gates.rank(gate, state, event), id)
  redis.call('HSET', keys.event(ctx, id), EVENT.gates, gate, EVENT.waits_at, gate,
    EVENT.waits_since_ms, ctx.now)
  redis.call('ZREM', keys.due(ctx), id)
end

-- Whether an event that is in front of this event waits at the gate.
local function is_behind(ctx, gate, id, rank)
  local first, lowest = gates.first_waiter(ctx, gate)
  if not first or first == id then return false end
  return lowest < rank or (lowest == rank and first < id)
end

-- Whether the gate does not admit an event yet. An origin whose routes are slowed together lets the
-- events of some routes pass (see `routes.way_past`).
local function is_blocked(ctx, gate, state, id, event)
  local rank = gates.rank(gate, state, event)
  local blocked = is_behind(ctx, gate, id, rank)
    or gates.opens_at(ctx, gate, state, rank) > ctx.now
  return blocked and not routes.way_past(ctx, gate, state, event)
end

-- Whether a queue admits an event. An event must wait for its turn, but a callback is always
-- admitted. A callback has the acceptance number of its parent. So the next event of the queue
-- waits not only for the parent, but also for the callback.
local function queue_admits(ctx, id, event, gate, state)
  if event.turn_exempt then return true end
  if state.closed then return false end
  local number = redis.call('ZSCORE', keys.order(ctx, gate), id)
  if not number then return true end
  return redis.call('ZCOUNT', keys.order(ctx, gate), '-inf', '(' .. number) < state.parallelism
end

-- Releases those slots of a waiting event that are not reserved. Normally there are no such slots.
-- There are some if all gates had admitted the event, and another gate was added afterwards.
local function release_unreserved(ctx, id, held)
  for _, gate in ipairs(held) do
    if redis.call('SISMEMBER', keys.reserved(ctx, gate), id) == 0 then
      release_slot(ctx, id, gate)
    end
  end
end

-- Counts that the event was passed over once more. From the fourth time on, reserves free slots of
-- the gates that come before the gate at which the event waits.
local function reserve(ctx, id, missing, first)
  local passed_over = redis.call('HINCRBY', keys.event(ctx, id), EVENT.passed_over, 1)
  for i = 1, passed_over >= RESERVES_FROM and first - 1 or 0 do
    local gate, state = unpack(missing[i])
    local limit = math.min(state.parallelism or math.huge, state.rate or math.huge)
    local half = math.max(1, math.floor(limit / 2))
    if redis.call('SCARD', keys.reserved(ctx, gate)) < half then
      redis.call('SADD', keys.reserved(ctx, gate), id)
      take_slot(ctx, id, gate, state)
    end
  end
end

local function end_reservations(ctx, id, event)
  if not event.passed_over then return end
  for _, gate in ipairs(gates.of(event)) do redis.call('SREM', keys.reserved(ctx, gate), id) end
  redis.call('HDEL', keys.event(ctx, id), EVENT.passed_over)
end

-- Makes an event wait at a closed gate, or at a gate with a breaker. Meanwhile the event has no
-- slots, not even reserved ones.
local function wait_without_slots(ctx, id, event, gate)
  slots.wait_at(ctx, id, event, gate)
  slots.release(ctx, id, event)
end

-- Returns whether all gates admit the event. If all admit it, the event takes a slot of each gate.
-- Otherwise the event waits at a gate.
function slots.admit(ctx, id, event)
  local held, missing, first = {}, {}, nil
  for _, gate in ipairs(gates.of(event)) do
    local queue, state = gates.is_queue(gate), gates.state(ctx, gate)
    if queue and not queue_admits(ctx, id, event, gate, state) or not queue and state.closed then
      wait_without_slots(ctx, id, event, gate)
      return false
    end
    if not queue and redis.call('SISMEMBER', keys.holders(ctx, gate), id) == 1 then
      held[#held + 1] = gate
    elseif not queue then
      missing[#missing + 1] = {gate, state}
      if not first and is_blocked(ctx, gate, state, id, event) then first = #missing end
    end
  end
  if first then
    local gate, state = unpack(missing[first])
    if state.breaker or state.without_slots then
      wait_without_slots(ctx, id, event, gate)
      return false
    end
    release_unreserved(ctx, id, held)
    reserve(ctx, id, missing, first)
    slots.wait_at(ctx, id, event, gate)
    return false
  end
  for _, entry in ipairs(missing) do take_slot(ctx, id, unpack(entry)) end
  end_reservations(ctx, id, event)
  return true
end

-- Moves a waiting event to `due` if all its gates admit it. Returns whether the event was still
-- waiting at this gate, even if it must wait further.
local function promote(ctx, id, gate)
  local event = slots.read(ctx, id)
  if event.waits_at ~= gate or event.state then return false end
  if slots.admit(ctx, id, event) then
    due.put(ctx, '~' .. id, records.integer(event, 'due_ms'))
    slots.stop_waiting(ctx, id, event)
  end
  return true
end

-- Plans an immediate check of the gate, because this call may promote no more events. If the gate
-- is a queue, the check starts at the event `id`.
local function continue_later(ctx, id, gate)
  gates.check_at(ctx, gate, ctx.now)
  if not gates.is_queue(gate) then return end
  local number = tonumber(redis.call('ZSCORE', keys.order(ctx, gate), id) or 1)
  local from = gates.state(ctx, gate).check_from
  if from == 0 or number < from then
    redis.call('HSET', keys.gate(ctx, gate), GATE.check_from, number)
  end
end

-- Calls `promote`. If the event is unreadable, quarantines the event and returns false. If this
-- call may promote no more events, plans a check instead and returns nil.
function slots.try_promote(ctx, id, gate)
  if ctx.promotions_left <= 0 then return continue_later(ctx, id, gate) end
  ctx.promotions_left = ctx.promotions_left - 1
  local ok, answer = pcall(promote, ctx, id, gate)
  if not ok then due.quarantine(ctx, id, answer) end
  return ok and answer
end

-- Whether an event no longer counts in its queue, because it has ended or is unreadable.
function slots.is_out_of_queue(ctx, id)
  local event = records.read(keys.event(ctx, id), ENDED)
  return not event.owner or event.state or redis.call('ZSCORE', keys.quarantine(ctx), id)
end

-- Called when an event has left a queue. The queue admits its first `parallelism` events. Only the
-- last of them was not admitted before, so the function promotes only this event.
function slots.promote_in_queue(ctx, gate)
  local state = gates.state(ctx, gate)
  while not state.closed do
    local rank = state.parallelism - 1
    local id = redis.call('ZRANGE', keys.order(ctx, gate), rank, rank)[1]
    if not id or slots.try_promote(ctx, id, gate) ~= false
      or not slots.is_out_of_queue(ctx, id) then
      return
    end
    redis.call('ZREM', keys.order(ctx, gate), id)
  end
end

-- Promotes the oldest waiters of a gate while the gate has free slots.
function slots.promote_waiters(ctx, gate)
  if gates.is_queue(gate) then
    slots.promote_in_queue(ctx, gate)
    return gates.plan_check(ctx, gate)
  end
  for _ = 1, PROMOTED_PER_GATE do
    local state = gates.state(ctx, gate)
    local id, rank = gates.first_waiter(ctx, gate)
    if not id or state.closed or gates.opens_at(ctx, gate, state, rank) > ctx.now then break end
    local found = slots.try_promote(ctx, id, gate)
    if found == nil then break end
    if not found then redis.call('ZREM', keys.waiters(ctx, gate), id) end
  end
  gates.plan_check(ctx, gate)
end

-- Promotes waiters at a gate of which this call has freed slots. If the breaker of the gate is open,
-- plans a check instead: the report of the attempt that has ended may come after this call.
local function promote_after(ctx, gate)
  if gates.state(ctx, gate).open then
    return gates.check_at(ctx, gate, ctx.now + breaker.REPORTED_AFTER_MS)
  end
  slots.promote_waiters(ctx, gate)
end

-- Promotes waiters at every gate of which this call has freed slots. These promotions may free
-- slots of further gates. Plans an immediate check of each of those gates.
function slots.promote_at_freed(ctx)
  if #ctx.freed == 0 then return end
  local freed = ctx.freed
  ctx.freed = {}
  for _, gate in ipairs(freed) do
    local ok, problem = pcall(promote_after, ctx, gate)
    if not ok then due.quarantine(ctx, 'g:' .. gate, problem) end
  end
  for _, gate in ipairs(ctx.freed) do gates.check_at(ctx, gate, ctx.now) end
  ctx.freed = {}
end

-- Records the begin of an event at each of its gates that has a rate. Adds these gates to `rates`.
function slots.count_begin(ctx, id, event, rates)
  for _, gate in ipairs(gates.of(event)) do
    if not gates.is_queue(gate) then
      local state = gates.state(ctx, gate)
      if state.rate then
        local key = keys.begins(ctx, gate)
        redis.call('RPUSH', key, string.format('%.0f', ctx.now))
        redis.call('LTRIM', key, -state.rate, -1)
        redis.call('PEXPIRE', key, state.period_ms + gates.JITTER_MS + 1000)
        redis.call('SREM', keys.not_begun(ctx, gate), id)
        rates[gate] = true
      end
      gates.extend_ttl(ctx, gate)
    end
  end
end
