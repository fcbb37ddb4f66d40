-- Checks of gates: each gate with waiters is checked when it may open, otherwise every five
-- seconds. A check removes false holders, promotes waiters, and cancels what a deleted queue held.
local EVENT, GATE = records.EVENT, records.GATE
local AUDITED, DROPPED_AT_ONCE, IDLE_MS = 64, 100, 600000
local HOLDER = records.fields(EVENT, 'owner', 'state', 'gates', 'waits_at')
local DROPPED = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule', 'journaled',
  'state', 'token', 'cancel_requested_ms', 'attempts', 'gates', 'waits_at', 'passed_over',
  'following', 'turn_exempt')

-- A slot belongs to an event that is on its way, or that reserves it while it waits for a gate
-- that is not closed.
local function holds(ctx, id, gate)
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

-- Removes holders that do not hold, from a random sample.
local function audit(ctx, gate)
  local holders, not_begun = keys.holders(ctx, gate), keys.not_begun(ctx, gate)
  for _, id in ipairs(redis.call('SRANDMEMBER', holders, AUDITED)) do
    local readable, kept = pcall(holds, ctx, id, gate)
    if not (readable and kept) then
      redis.call('SREM', holders, id)
      redis.call('SREM', not_begun, id)
    end
  end
  for _, key in ipairs({not_begun, keys.reserved(ctx, gate)}) do
    for _, id in ipairs(redis.call('SRANDMEMBER', key, AUDITED)) do
      if redis.call('SISMEMBER', holders, id) == 0 then redis.call('SREM', key, id) end
    end
  end
end

-- Promotes the first events of a queue, from where the last check stopped: after a pause or a
-- higher parallelism many may wait. It reads one event more than the budget allows: trying that one
-- records where the next check starts.
function gate_checks.promote_through(ctx, gate)
  local state, line = gates.state(ctx, gate), keys.order(ctx, gate)
  redis.call('HDEL', keys.gate(ctx, gate), GATE.check_from)
  local first = redis.call('ZCOUNT', line, '-inf', '(' .. state.check_from)
  local last = math.min(state.parallelism, first + ctx.grants_left + 1) - 1
  local ids = not state.closed and first <= last and redis.call('ZRANGE', line, first, last) or {}
  for _, id in ipairs(ids) do
    local found = slots.try_promote(ctx, id, gate)
    if found == nil then break end
    if not found and slots.has_left(ctx, id) then
      redis.call('ZREM', line, id)
      slots.promote_in_queue(ctx, gate)
    end
  end
  gates.place(ctx, gate)
end

-- Cancels one event of a deleted queue; answers whether it stays in the line. A callback stays: it
-- reports what was sent before. An event that is being sent is asked to stop.
local function drop_one(ctx, id, gate)
  local event = records.read(keys.event(ctx, id), DROPPED)
  if not event.owner or event.state then
    redis.call('ZREM', keys.order(ctx, gate), id)
    return false
  end
  return event.turn_exempt or endings.cancel(ctx, id, event)
end

-- Cancels up to `most` events that stood in a queue when it was deleted. Returns how many it
-- cancelled, and whether none is left; until then the queue stays closed.
function gate_checks.drop(ctx, gate, most)
  local last, kept, done = redis.call('HGET', keys.gate(ctx, gate), GATE.cancel_until), 0, 0
  local line = keys.order(ctx, gate)
  while last and done < most do
    local ids = redis.call('ZRANGEBYSCORE', line, '-inf', last, 'LIMIT', kept, DROPPED_AT_ONCE)
    if not ids[1] then
      redis.call('HDEL', keys.gate(ctx, gate), GATE.cancel_until)
      return done, true
    end
    for _, id in ipairs(ids) do
      local ok, stays = pcall(drop_one, ctx, id, gate)
      if not ok then redis.call('ZREM', line, id) end
      if ok and stays then kept = kept + 1 else done = done + 1 end
    end
  end
  return done, not last
end

-- Forgets that a destination was held once nobody waits there any more, and the whole gate if
-- nothing but its creation time is left.
local function forget_if_idle(ctx, gate)
  local state, key = gates.state(ctx, gate), keys.gate(ctx, gate)
  if state.paused_ms or redis.call('EXISTS', keys.waiters(ctx, gate)) == 1 then return end
  if state.breaker_open and ctx.now - (state.closed_until_ms or 0) < IDLE_MS then return end
  redis.call('HDEL', key, GATE.breaker_open, GATE.probes_failed, GATE.closed_until_ms,
    GATE.ramp_since_ms, GATE.ramp_rate, GATE.origin)
  redis.call('HDEL', keys.held_destinations(ctx), gate)
  if redis.call('HLEN', key) == 1 then redis.call('DEL', key) end
end

-- Checks a gate that is due.
function gate_checks.check(ctx, gate)
  redis.call('ZADD', keys.due(ctx), ctx.now + gates.CHECK_EVERY_MS, 'g:' .. gate)
  if gates.is_queue(gate) then
    gate_checks.drop(ctx, gate, AUDITED)
    return gate_checks.promote_through(ctx, gate)
  end
  audit(ctx, gate)
  gates.keep(ctx, gate)
  slots.promote_waiters(ctx, gate)
  if gates.is_destination(gate) then forget_if_idle(ctx, gate) end
  gates.place(ctx, gate)
end
