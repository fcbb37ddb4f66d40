-- Checks of gates. A check removes stale holders, promotes waiters, and cancels the events of a
-- deleted queue.
--
-- While events wait at a gate, claims check the gate. The next check is at the time when the gate
-- can admit an event. If this time is unknown, the next check is after five seconds. A paused gate
-- is not checked.
local EVENT, GATE = records.EVENT, records.GATE
local SAMPLE_SIZE, CANCEL_BATCH_SIZE = 64, 100
local HOLDER = records.fields(EVENT, 'owner', 'state', 'gates', 'waits_at')
local IN_DELETED_QUEUE = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule',
  'journaled', 'state', 'token', 'cancel_requested_ms', 'attempts', 'gates', 'waits_at',
  'passed_over', 'following', 'turn_exempt')

-- Whether an event may keep its slot of a gate. An event that is leased or due may keep the slot.
-- An event that waits at another gate may keep the slot if the slot is reserved and the other gate
-- is not closed.
local function may_hold(ctx, id, gate)
  local event = records.read(keys.event(ctx, id), HOLDER)
  if not event.owner or event.state or redis.call('ZSCORE', keys.quarantine(ctx), id) then
    return false
  end
  if event.waits_at then
    local reserves = redis.call('SISMEMBER', keys.reserved(ctx, gate), id) == 1
    return reserves and not gates.state(ctx, event.waits_at).closed
  end
  local member = due.member(id, event)
  if redis.call('ZSCORE', keys.leased(ctx), member) then return true end
  local at = redis.call('ZSCORE', keys.due(ctx), member)
  return at and tonumber(at) <= ctx.now
end

-- Takes a random sample of a gate's holders, and removes those that may not hold a slot.
local function remove_stale_holders(ctx, gate)
  local holders, not_begun = keys.holders(ctx, gate), keys.not_begun(ctx, gate)
  for _, id in ipairs(redis.call('SRANDMEMBER', holders, SAMPLE_SIZE)) do
    local readable, kept = pcall(may_hold, ctx, id, gate)
    if not (readable and kept) then
      redis.call('SREM', holders, id)
      redis.call('SREM', not_begun, id)
    end
  end
  for _, key in ipairs({not_begun, keys.reserved(ctx, gate)}) do
    for _, id in ipairs(redis.call('SRANDMEMBER', key, SAMPLE_SIZE)) do
      if redis.call('SISMEMBER', holders, id) == 0 then redis.call('SREM', key, id) end
    end
  end
end

-- Promotes the first events of a queue, starting where the last check stopped. The function reads
-- one event more than this call may promote. `slots.try_promote` does not promote this last event,
-- but stores its number. The next check starts at this number.
function gate_checks.promote_through(ctx, gate)
  local state, order = gates.state(ctx, gate), keys.order(ctx, gate)
  redis.call('HDEL', keys.gate(ctx, gate), GATE.check_from)
  local first = redis.call('ZCOUNT', order, '-inf', '(' .. state.check_from)
  local last = math.min(state.parallelism, first + ctx.promotions_left + 1) - 1
  local ids = not state.closed and first <= last and redis.call('ZRANGE', order, first, last) or {}
  for _, id in ipairs(ids) do
    local found = slots.try_promote(ctx, id, gate)
    if found == nil then break end
    if not found and slots.is_out_of_queue(ctx, id) then
      redis.call('ZREM', order, id)
      slots.promote_in_queue(ctx, gate)
    end
  end
  gates.plan_check(ctx, gate)
end

-- Cancels one event of a deleted queue; returns whether the event stays in the queue. A callback
-- stays, because it reports an event that was already sent. An event that is being sent stays until
-- its attempt ends.
local function cancel_one(ctx, id, gate)
  local event = records.read(keys.event(ctx, id), IN_DELETED_QUEUE)
  if not event.owner or event.state then
    redis.call('ZREM', keys.order(ctx, gate), id)
    return false
  end
  return event.turn_exempt or endings.cancel(ctx, id, event)
end

-- Cancels up to `limit` events of a deleted queue: those that were in the queue at the deletion.
-- Returns the number of cancelled events, and whether the cancellation is complete. Until it is
-- complete, the queue admits no events.
function gate_checks.cancel_deleted(ctx, gate, limit)
  local last, kept, done = redis.call('HGET', keys.gate(ctx, gate), GATE.cancel_until), 0, 0
  local order = keys.order(ctx, gate)
  while last and done < limit do
    local ids = redis.call('ZRANGEBYSCORE', order, '-inf', last, 'LIMIT', kept, CANCEL_BATCH_SIZE)
    if not ids[1] then
      redis.call('HDEL', keys.gate(ctx, gate), GATE.cancel_until)
      return done, true
    end
    for _, id in ipairs(ids) do
      local ok, stays = pcall(cancel_one, ctx, id, gate)
      if not ok then redis.call('ZREM', order, id) end
      if ok and stays then kept = kept + 1 else done = done + 1 end
    end
  end
  return done, not last
end

-- Ends the hold of an origin or route, or the ramp of a tenant's line, if it is idle: if it is not
-- paused, no event waits at its gate, and its breaker is closed, in a ramp, or without an attempt for
-- ten minutes. Returns the URL of the origin or route if this closes a breaker.
local function release_if_idle(ctx, gate)
  local state = gates.state(ctx, gate)
  if state.paused_ms or redis.call('EXISTS', keys.waiters(ctx, gate)) == 1 then return end
  if state.limited and ctx.now - breaker.last_used_ms(ctx, gate) < breaker.IDLE_MS then return end
  local url = state.breaker and redis.call('HGET', keys.gate(ctx, gate), GATE.url)
  breaker.forget(ctx, gate, GATE.origin)
  return url
end

-- Checks a gate whose check is due. Returns the URL of an origin or route whose breaker was closed.
function gate_checks.check(ctx, gate)
  redis.call('ZADD', keys.due(ctx), ctx.now + gates.CHECK_EVERY_MS, 'g:' .. gate)
  if gates.is_queue(gate) then
    gate_checks.cancel_deleted(ctx, gate, SAMPLE_SIZE)
    return gate_checks.promote_through(ctx, gate)
  end
  remove_stale_holders(ctx, gate)
  gates.extend_ttl(ctx, gate)
  slots.promote_waiters(ctx, gate)
  local may_be_idle = gates.is_destination(gate) or gates.is_slow_gate(gate)
  local closed = may_be_idle and release_if_idle(ctx, gate)
  gates.plan_check(ctx, gate)
  return closed
end
