-- Begins attempts, right before the worker sends the events. Each claimed event has a short offer
-- lease; the begin replaces this lease with a lease of the worker.
-- Checks every event again, so outdated, repeated or delayed envelopes do no harm.
--
-- Keys: prefix.
-- Options: token (of the new attempts), lease_ms, inline_bytes (maximum length of content in an
--   answer), share and paused_routes (see lib/fair_share).
-- Args: ids…
-- Answer per id: {id, code}. If the code is begun, the answer continues with: attempt, failures,
--   interruptions, first due ms, created ms, time limit of the attempt in ms, owner, content key,
--   content ('' if longer than inline_bytes; the caller then reads the content key), schedule, gate
--   of the origin, gate of the route, what is held (see `fair_share.held_gates`) and `d` if the event
--   is a possible duplicate (see `servers.may_repeat`), ms until the event's end ('' if it has none).
-- Codes:
--   begun: the attempt has begun.
--   gone: the event is not leased.
--   taken: an attempt with another token is running.
--   missing: the event does not exist.
--   ended: the event ended before this call.
--   early: the event is not due.
--   withdrawn: the event may no longer be sent, and this call has ended it (see lib/withdrawal).
--   waits: the previous occurrence has not ended.
--   held: the event must wait at a gate or in `due`.
--   full: the worker has no room for the event. It is still leased.
--   quarantined: the event is unreadable.
--   unchecked: another server has taken over the store, and no claim has checked yet what is lost.
-- Atomic: if several workers begin the same event, only one succeeds. If this worker repeats its
-- call with the same token, it gets the code begun again.
local EVENT, SCHEDULE = records.EVENT, records.SCHEDULE

local function content_key(ctx, id, event)
  if event.schedule then return keys.template(ctx, event.schedule, event.revision) end
  return keys.body(ctx, id, event.body_revision)
end

local function describe(ctx, id, event, attempt)
  local key, max_length = content_key(ctx, id, event), ctx.options.inline_bytes
  local content = redis.call('GETRANGE', key, 0, max_length)
  if #content > max_length then content = '' end
  local left = event.end_ms and records.integer(event, 'end_ms') - ctx.now or ''
  return {id, 'begun', attempt, records.integer(event, 'failures', 0),
    records.integer(event, 'interruptions', 0), records.first_due_ms(event),
    records.integer(event, 'created_ms'), records.integer(event, 'deadline_ms'), event.owner, key,
    content, event.schedule or '', event.origin_gate or '', event.route_gate or '',
    event.held .. ((event.may_repeat or servers.may_repeat(ctx, event)) and 'd' or ''), left}
end

-- Begins an event. Adds to `batch` what the call does once for all its events: the rates of gates
-- (see `slots.count_begin`), and the scores and members of the new leases.
local function begin(ctx, share, id, event, batch)
  local now, token, key = ctx.now, ctx.options.token, keys.event(ctx, id)
  if not event.leased_until then return {id, 'gone'} end
  if event.token == token then
    fair_share.held_gates(ctx, share, event)
    return describe(ctx, id, event, records.integer(event, 'attempts'))
  end
  if event.token then return {id, 'taken'} end
  if not records.exists(key, event) or event.state then
    endings.dequeue(ctx, id, event)
    return {id, event.state and 'ended' or 'missing'}
  end
  local due_ms = records.integer(event, 'due_ms')
  local attempt = records.integer(event, 'attempts', 0) + 1
  if due_ms > now then
    due.put(ctx, due.member(id, event), due_ms)
    slots.release(ctx, id, event)
    return {id, 'early'}
  end
  local reason, schedule_begun
  if event.end_ms or event.strict then
    reason, schedule_begun = withdrawal.reason(ctx, id, event, now, event.attempts)
  end
  if not reason and event.previous and withdrawal.waits(ctx, id, event) then
    return {id, 'waits'}
  end
  if reason then
    endings.finish(ctx, id, event, withdrawal.final_state(reason, event.attempts), reason)
    return {id, 'withdrawn'}
  end
  local refusal = fair_share.refusal(ctx, share, id, event)
  if refusal then return {id, refusal} end
  if event.strict and not schedule_begun then
    redis.call('HSET', keys.schedule(ctx, event.schedule), SCHEDULE.first_begun_ms, now)
  end
  local reply = describe(ctx, id, event, attempt)
  redis.call('HSET', key, EVENT.token, token, EVENT.attempts, attempt, EVENT.updated_ms, now,
    EVENT.renewable_until_ms, records.renewable_until_ms(event, now))
  if event.gates then slots.count_begin(ctx, id, event, batch.rates) end
  fair_share.count_begun(share, event)
  journal.append(ctx, event, id, 'begun', attempt)
  -- This is last, because an event that fails must not be leased again.
  batch.leases[#batch.leases + 1] = now + ctx.options.lease_ms
  batch.leases[#batch.leases + 1] = due.member(id, event)
  return reply
end

-- Reads all events of a call. Adds a field to each: the end of its lease, or false. Returns events and
-- problems by the positions of their ids.
local function read_events(ctx, share, ids)
  local events, problems, members, positions = {}, {}, {}, {}
  for i = 2, #ids do
    local ok, event = pcall(fair_share.read_event, ctx, share, ids[i])
    if ok then
      events[i] = event
      members[#members + 1], positions[#positions + 1] = due.member(ids[i], event), i
    else
      problems[i] = event
    end
  end
  local scores = members[1] and redis.call('ZMSCORE', keys.leased(ctx), unpack(members))
  for n, i in ipairs(positions) do events[i].leased_until = scores[n] end
  return events, problems
end

local function refuse_all(ids, code)
  local replies = {}
  for i = 2, #ids do replies[i - 1] = {ids[i], code} end
  return replies
end

local function begin_events(key_names, args)
  local ctx = context.new(key_names, args)
  if not servers.may_begin(ctx) then return refuse_all(args, 'unchecked') end
  local share, replies, batch = fair_share.new(ctx), {}, {rates = {}, leases = {}}
  local events, problems = read_events(ctx, share, args)
  for i = 2, #args do
    local id, ok, reply = args[i], false, problems[i]
    if events[i] then ok, reply = pcall(begin, ctx, share, id, events[i], batch) end
    if not ok then
      due.quarantine(ctx, id, reply)
      reply = {id, 'quarantined'}
    end
    replies[i - 1] = reply
  end
  if batch.leases[1] then redis.call('ZADD', keys.leased(ctx), unpack(batch.leases)) end
  if share.is_busy then fair_share.let_fast_leave(ctx, share) end
  slots.promote_at_freed(ctx)
  for gate in pairs(batch.rates) do pcall(gates.plan_check, ctx, gate) end
  rq.wake_if_room(ctx)
  return replies
end

redis.register_function{function_name = 'begin_' .. VERSION, callback = begin_events,
  flags = {'allow-oom'}}
