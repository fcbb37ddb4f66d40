-- Ends events, plans retries, and removes events from their place (see lib/due).
local EVENT = records.EVENT
local FOLLOWING = records.fields(EVENT, 'owner', 'state', 'attempts', 'first_due_ms', 'gates',
  'waits_at')
local DEAD = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule', 'state',
  'finished_ms')

-- Removes members from their places: from `leased`, `due` or the quarantine.
local function remove_from_places(ctx, members, ids)
  local left = #members - redis.call('ZREM', keys.leased(ctx), unpack(members))
  if left > 0 then left = left - redis.call('ZREM', keys.due(ctx), unpack(members)) end
  if left > 0 and redis.call('ZREM', keys.quarantine(ctx), unpack(ids)) > 0 then
    redis.call('HDEL', keys.quarantine_reasons(ctx), unpack(ids))
  end
end

local function leave_gates(ctx, id, event)
  if due.any_isolated(ctx) then redis.call('SREM', keys.isolated(ctx), id) end
  if not event.gates then return end
  slots.stop_waiting(ctx, id, event)
  slots.release(ctx, id, event)
end

-- Removes an event from its place and releases its slots. Afterwards the caller must call
-- `slots.promote_at_freed`. If the event has not ended, the caller must also put the event into a
-- new place.
function endings.dequeue(ctx, id, event)
  remove_from_places(ctx, {due.member(id, event)}, {id})
  leave_gates(ctx, id, event)
end

-- Removes an ended event from its queues. Then promotes waiting events into the turns and slots
-- that the ended event has left.
local function leave_queues(ctx, id, event)
  for _, gate in ipairs(gates.of(event)) do
    if gates.is_queue(gate) then
      local ok, left = pcall(redis.call, 'ZREM', keys.order(ctx, gate), id)
      if ok and left == 1 then ctx.freed[#ctx.freed + 1] = gate end
    end
  end
  slots.promote_at_freed(ctx)
end

-- Called when an occurrence has ended. If the following occurrence waited for this end, makes the
-- following occurrence due now.
local function start_following(ctx, id)
  local event = records.read(keys.event(ctx, id), FOLLOWING)
  -- Before the first attempt, only `withdrawal.waits` sets first_due_ms.
  local waits = event.owner and not event.state and not event.attempts and event.first_due_ms
  if not waits or event.waits_at then return end
  redis.call('HSET', keys.event(ctx, id), EVENT.due_ms, ctx.now)
  due.put(ctx, due.member(id, event), ctx.now)
end

-- Removes the fields of a running or interrupted attempt.
local function clear_attempt(key)
  redis.call('HDEL', key, EVENT.token, EVENT.interrupted_token, EVENT.renewable_until_ms,
    EVENT.interruptions)
end

-- Creates a batch. A batch collects the events that one call ends; then `place` moves all of them
-- with one command for each sorted set.
function endings.batch() return {members = {}, ids = {}, groups = {}} end

-- Returns what a batch collects of an owner's events that end in one state.
local function group_of(batch, owner, state)
  local name = owner .. ':' .. state
  local group = batch.groups[name]
  if not group then
    group = {owner = owner, state = state, ids = {}, finished = {}, by_time = {}}
    batch.groups[name] = group
  end
  return group
end

-- Records that an event has ended as delivered, dead or cancelled. The caller must call `place`
-- afterwards, and must have read these fields: owner, due_ms, first_due_ms, schedule, journaled,
-- attempts, following, gates, waits_at, passed_over.
function endings.record(ctx, batch, id, event, state, reason)
  local key, owner, first_due = keys.event(ctx, id), event.owner, records.first_due_ms(event)
  if reason then
    redis.call('HSET', key, EVENT.state, state, EVENT.finished_ms, ctx.now, EVENT.updated_ms,
      ctx.now, EVENT.reason, reason)
  else
    redis.call('HSET', key, EVENT.state, state, EVENT.finished_ms, ctx.now, EVENT.updated_ms,
      ctx.now)
  end
  clear_attempt(key)
  if state ~= 'delivered' then deduplication.release(ctx, owner, id, key) end
  local group, count = group_of(batch, owner, state), #batch.ids + 1
  batch.ids[count], batch.members[count] = id, due.member(id, event)
  local ids, finished, by_time = group.ids, group.finished, group.by_time
  ids[#ids + 1] = id
  finished[#finished + 1], finished[#finished + 2] = ctx.now, id
  if not event.schedule then
    by_time[#by_time + 1], by_time[#by_time + 2] = first_due, id
  end
  journal.append(ctx, event, id, state, event.attempts)
  leave_gates(ctx, id, event)
  if event.gates then leave_queues(ctx, id, event) end
  if event.following then start_following(ctx, event.following) end
end

local function place_group(ctx, group)
  local owner, state = group.owner, group.state
  redis.call('ZADD', keys.finished(ctx, owner, state), unpack(group.finished))
  redis.call('ZREM', keys.by_time(ctx, owner, 'active'), unpack(group.ids))
  if group.by_time[1] then
    redis.call('ZADD', keys.by_time(ctx, owner, state), unpack(group.by_time))
  end
end

local function quarantine_all(ctx, ids, problem, failed)
  for _, id in ipairs(ids) do
    due.quarantine(ctx, id, problem)
    failed[id] = true
  end
end

-- Moves all recorded events from their places to the indexes of ended events. Moves those that fail
-- to quarantine, and returns their ids as the keys of a table.
function endings.place(ctx, batch)
  local failed = {}
  if batch.ids[1] then remove_from_places(ctx, batch.members, batch.ids) end
  for _, group in pairs(batch.groups) do
    local ok, problem = pcall(place_group, ctx, group)
    if not ok then quarantine_all(ctx, group.ids, problem, failed) end
  end
  return failed
end

-- Records and places one ended event.
function endings.finish(ctx, id, event, state, reason)
  local batch = endings.batch()
  endings.record(ctx, batch, id, event, state, reason)
  endings.place(ctx, batch)
end

-- Cancels an event that has not ended. `...` lists fields and values to store with the
-- cancellation. If the event is being sent, only records the request, and returns true. The event
-- then ends when its attempt ends.
function endings.cancel(ctx, id, event, ...)
  local key, requested = keys.event(ctx, id), event.cancel_requested_ms
  if not requested then journal.append(ctx, event, id, 'cancel_requested', event.attempts) end
  if not event.token then
    endings.finish(ctx, id, event, 'cancelled')
    if ... then redis.call('HSET', key, ...) end
    return false
  end
  if not requested then
    redis.call('HSET', key, EVENT.cancel_requested_ms, ctx.now, EVENT.updated_ms, ctx.now, ...)
    deduplication.release(ctx, event.owner, id, key)
  end
  return true
end

-- Deletes an event that has ended, with its content and log. The caller must have read these fields:
-- owner, schedule, body_revision, state.
function endings.forget(ctx, id, event)
  redis.call('ZREM', keys.finished(ctx, event.owner, event.state), id)
  redis.call('ZREM', keys.by_time(ctx, event.owner, event.state), id)
  if event.schedule then redis.call('ZREM', keys.occurrences(ctx, event.schedule), id)
  else shared_bodies.delete_content(ctx, event.owner, id, keys.body(ctx, id, event.body_revision)) end
  endings.dequeue(ctx, id, event)
  redis.call('DEL', keys.event(ctx, id), keys.log(ctx, id))
end

-- Makes an event due again whose attempt has no outcome, and releases its slots. Then tries to give
-- the event its slots again; returns whether it has them, or needs none. Afterwards the caller must
-- call `slots.promote_at_freed`.
function endings.offer_again(ctx, id, event)
  due.put(ctx, due.member(id, event), records.integer(event, 'due_ms'))
  slots.release(ctx, id, event)
  return not event.gates or slots.admit(ctx, id, event)
end

-- Plans the next attempt of an event at `due_ms`, and releases the slots of the event.
function endings.retry(ctx, id, event, due_ms)
  local key, first_due = keys.event(ctx, id), records.first_due_ms(event)
  redis.call('HSET', key, EVENT.first_due_ms, first_due, EVENT.due_ms, due_ms, EVENT.updated_ms,
    ctx.now)
  redis.call('HINCRBY', key, EVENT.failures, 1)
  clear_attempt(key)
  endings.dequeue(ctx, id, event)
  if event.gates then gates.leave_slow_gate(key, event) end
  due.put(ctx, due.member(id, event), due_ms)
  journal.append(ctx, event, id, 'retry', event.attempts)
  slots.promote_at_freed(ctx)
end

-- Reads a dead letter. Returns nil if the event is not a dead letter of the owner. Also converts
-- the numbers of the record, so that an unreadable record raises an error before anything is
-- written.
function endings.read_dead_letter(ctx, id, owner)
  local event = records.read(keys.event(ctx, id), DEAD)
  if event.owner ~= owner or event.state ~= 'dead' then return nil end
  event.first_due, event.finished = records.first_due_ms(event),
    records.integer(event, 'finished_ms')
  return event
end

-- Counts cleared dead letters in the job that the option `job` names, as `<tenant>:<job id>`.
function endings.count_in_job(ctx, cleared)
  local job = ctx.options.job
  if not job or cleared == 0 then return end
  local key = keys.letter_job(ctx, job)
  if redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'done', cleared) end
end

-- Clears a dead letter that was replayed or deleted. Stores `change`, the nonce of the call. By
-- this nonce, a repeated call recognises that the first call cleared the dead letter.
function endings.clear(ctx, id, event, change)
  local owner = event.owner
  redis.call('HSET', keys.event(ctx, id), EVENT.state, 'cleared', EVENT.updated_ms, ctx.now,
    EVENT.change, change)
  redis.call('ZADD', keys.finished(ctx, owner, 'cleared'), event.finished, id)
  redis.call('ZREM', keys.finished(ctx, owner, 'dead'), id)
  if event.schedule then return end
  redis.call('ZADD', keys.by_time(ctx, owner, 'cleared'), event.first_due, id)
  redis.call('ZREM', keys.by_time(ctx, owner, 'dead'), id)
end
