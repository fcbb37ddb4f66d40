-- Slots: an event takes all it needs together or waits at the first gate that does not open;
-- when slots come free, the next waiters are promoted.
--
-- An event that was passed over four times reserves: it keeps the slots of lower gates while it
-- waits for a higher one. So two full gates starve no event, and none deadlock. At most half of
-- a gate may be reserved, so the other half goes on however long the reserving events wait.
local EVENT, GATE = records.EVENT, records.GATE
local PASSES, PROMOTED_PER_GATE = 4, 16
local ADMITTED = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'state', 'gates',
  'waits_at', 'passed_over', 'turn_exempt')
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

-- Gives back all slots and reservations. An unreadable gate must not keep the event.
function slots.release(ctx, id, event)
  for _, gate in ipairs(gates.of(event)) do
    if not gates.is_queue(gate) then pcall(release_slot, ctx, id, gate, event.passed_over) end
  end
  if event.passed_over then redis.call('HDEL', keys.event(ctx, id), EVENT.passed_over) end
  event.passed_over = nil
end

function slots.leave_line(ctx, id, event)
  if not event.waits_at then return end
  if not gates.is_queue(event.waits_at) then
    redis.call('ZREM', keys.waiters(ctx, event.waits_at), id)
  end
  redis.call('HDEL', keys.event(ctx, id), EVENT.waits_at)
  event.waits_at = nil
end

-- The line becomes the event's place; then it leaves the others. A queue's line holds it anyway.
function slots.wait_at(ctx, id, event, gate)
  local before = event.waits_at
  if not gates.is_queue(gate) then
    redis.call('ZADD', keys.waiters(ctx, gate), records.first_due_ms(event), id)
  end
  if before and before ~= gate and not gates.is_queue(before) then
    redis.call('ZREM', keys.waiters(ctx, before), id)
  end
  redis.call('HSET', keys.event(ctx, id), EVENT.waits_at, gate)
  event.waits_at = gate
  gates.place(ctx, gate)
  redis.call('ZREM', keys.due(ctx), '~' .. id)
  redis.call('ZREM', keys.leased(ctx), '~' .. id)
end

local function older_waits(ctx, gate, id, first_due)
  local head = redis.call('ZRANGE', keys.waiters(ctx, gate), 0, 0, 'WITHSCORES')
  if not head[1] or head[1] == id then return false end
  local at = tonumber(head[2])
  return at < first_due or (at == first_due and head[1] < id)
end

-- A callback has the number of its parent and is exempt: the next message waits for it.
local function queue_admits(ctx, id, event, gate, state)
  if event.turn_exempt then return true end
  if state.closed then return false end
  local number = redis.call('ZSCORE', keys.order(ctx, gate), id)
  if not number then return true end
  return redis.call('ZCOUNT', keys.order(ctx, gate), '-inf', '(' .. number) < state.parallelism
end

-- Releases slots that a waiter holds without reserving them: it was admitted, and then another gate
-- was added to its gates.
local function release_unreserved(ctx, id, held)
  for _, gate in ipairs(held) do
    if redis.call('SISMEMBER', keys.reserved(ctx, gate), id) == 0 then
      release_slot(ctx, id, gate)
    end
  end
end

local function reserve(ctx, id, missing, first)
  local passes = redis.call('HINCRBY', keys.event(ctx, id), EVENT.passed_over, 1)
  for i = 1, passes >= PASSES and first - 1 or 0 do
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

-- Whether an event may go, holding all its slots. If not, it waits in a line and holds nothing in
-- front of a closed gate.
function slots.admit(ctx, id, event)
  local first_due, held, missing, first = records.first_due_ms(event), {}, {}, nil
  for _, gate in ipairs(gates.of(event)) do
    local queue, state = gates.is_queue(gate), gates.state(ctx, gate)
    if queue and not queue_admits(ctx, id, event, gate, state) or not queue and state.closed then
      slots.wait_at(ctx, id, event, gate)
      slots.release(ctx, id, event)
      return false
    end
    if not queue and redis.call('SISMEMBER', keys.holders(ctx, gate), id) == 1 then
      held[#held + 1] = gate
    elseif not queue then
      missing[#missing + 1] = {gate, state}
      local blocked = first or older_waits(ctx, gate, id, first_due)
        or gates.opens_at(ctx, gate, state) > ctx.now
      if blocked and not first then first = #missing end
    end
  end
  if first then
    release_unreserved(ctx, id, held)
    reserve(ctx, id, missing, first)
    slots.wait_at(ctx, id, event, missing[first][1])
    return false
  end
  for _, each in ipairs(missing) do take_slot(ctx, id, unpack(each)) end
  end_reservations(ctx, id, event)
  return true
end

-- Promotes a waiter if its gates admit it. Returns false if it does not wait at this gate any more.
local function promote(ctx, id, gate)
  local event = slots.read(ctx, id)
  if event.waits_at ~= gate or event.state then return false end
  if slots.admit(ctx, id, event) then
    due.put(ctx, '~' .. id, records.integer(event, 'due_ms'))
    slots.leave_line(ctx, id, event)
  end
  return true
end

-- The budget of this call is spent: has the gate checked again at once. The check of a queue starts
-- at this event.
local function go_on_later(ctx, id, gate)
  gates.check_at(ctx, gate, ctx.now)
  if not gates.is_queue(gate) then return end
  local number = tonumber(redis.call('ZSCORE', keys.order(ctx, gate), id) or 1)
  local from = gates.state(ctx, gate).check_from
  if from == 0 or number < from then
    redis.call('HSET', keys.gate(ctx, gate), GATE.check_from, number)
  end
end

-- As `promote`, but nil when the budget is spent; unreadable waiters are quarantined.
function slots.try_promote(ctx, id, gate)
  if ctx.grants_left <= 0 then return go_on_later(ctx, id, gate) end
  ctx.grants_left = ctx.grants_left - 1
  local ok, answer = pcall(promote, ctx, id, gate)
  if not ok then due.quarantine(ctx, id, answer) end
  return ok and answer
end

-- Finished or unreadable events do not block a queue.
function slots.has_left(ctx, id)
  local event = records.read(keys.event(ctx, id), ENDED)
  return not event.owner or event.state or redis.call('ZSCORE', keys.quarantine(ctx), id)
end

-- An event left the queue: the one that now stands at the last admitted rank may go.
function slots.promote_in_queue(ctx, gate)
  local state = gates.state(ctx, gate)
  while not state.closed do
    local rank = state.parallelism - 1
    local id = redis.call('ZRANGE', keys.order(ctx, gate), rank, rank)[1]
    if not id or slots.try_promote(ctx, id, gate) ~= false or not slots.has_left(ctx, id) then
      return
    end
    redis.call('ZREM', keys.order(ctx, gate), id)
  end
end

-- Promotes the oldest waiters of a gate while it has slots.
function slots.promote_waiters(ctx, gate)
  if gates.is_queue(gate) then
    slots.promote_in_queue(ctx, gate)
    return gates.place(ctx, gate)
  end
  for _ = 1, PROMOTED_PER_GATE do
    local state = gates.state(ctx, gate)
    if state.closed or gates.opens_at(ctx, gate, state) > ctx.now then break end
    local id = redis.call('ZRANGE', keys.waiters(ctx, gate), 0, 0)[1]
    local found = id and slots.try_promote(ctx, id, gate)
    if found == nil then break end
    if not found then redis.call('ZREM', keys.waiters(ctx, gate), id) end
  end
  gates.place(ctx, gate)
end

-- Promotes waiters at every gate that lost a holder in this call. Whatever comes free meanwhile
-- (reservations that were given back) is left to the gate's next check.
function slots.promote_at_freed(ctx)
  if #ctx.freed == 0 then return end
  local freed = ctx.freed
  ctx.freed = {}
  for _, gate in ipairs(freed) do
    local ok, problem = pcall(slots.promote_waiters, ctx, gate)
    if not ok then due.quarantine(ctx, 'g:' .. gate, problem) end
  end
  for _, gate in ipairs(ctx.freed) do gates.check_at(ctx, gate, ctx.now) end
  ctx.freed = {}
end

-- A begin counts for one period of each rate; `rates` collects the gates that have one.
function slots.charge(ctx, id, event, rates)
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
      gates.keep(ctx, gate)
    end
  end
end
