-- Edits or cancels an event that was never begun, or brings its next attempt forward.
--
-- Keys: prefix.
-- Options:
--   id, owner.
--   read_change: the nonce of the last change when the caller read the event. '' if the event had
--     not been changed.
--   change: the nonce of this change.
--   due_ms: the new due time. Absent to keep the due time.
--   between_attempts: true if due_ms may also replace the time of the next attempt after a failure,
--     by an earlier one. Then nothing else may change. Otherwise absent.
--   cancel: true to cancel the event, otherwise absent.
--   replaces_content: true to replace the content, otherwise absent.
--   tenant_limits: see lib/tenant_limits. They apply if the new content is longer than the old.
--   destination, gates: those of the new content (see lib/gate_binding).
-- Args: the new content. '' if the caller wrote the content before the call, to the key that
--   contains the nonce `change`.
-- Answer:
--   ok: the event is changed.
--   missing: the owner has no such event.
--   begun: an attempt has begun, or the event is in quarantine. With between_attempts: an attempt
--     is running, or the event is due already.
--   ended: the event has ended.
--   past: due_ms is not in the future.
--   changed: the event has changed since the caller read it.
--   full: the store is full. Events can still be cancelled, and their due times changed.
--   expired: the caller wrote the content before the call, and the content has expired.
--   `limit_reached:<limit>`: the tenant has reached a limit.
--   made: a schedule created the event. Such an event can only be cancelled and retried.
-- Atomic: if the answer is ok, no worker sends the old content. If the first call got ok, a
-- repeated call also gets ok, because the event stores the nonce.
local EVENT = records.EVENT
local CHANGED = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'body_revision', 'change',
  'attempts', 'token', 'schedule', 'state', 'following', 'gates', 'waits_at', 'passed_over')

-- Returns by how much a new content is longer than the old content.
local function growth(ctx, event, content)
  local options, id = ctx.options, ctx.options.id
  if not (options.tenant_limits and options.replaces_content) then return 0 end
  local old_key = keys.body(ctx, id, event.body_revision)
  return tenant_limits.bytes(content, keys.body(ctx, id, options.change), old_key)
end

-- Whether the call brings the next attempt of a failed event forward.
local function is_retry(ctx, event)
  return ctx.options.between_attempts and event.attempts and not event.token
    and ctx.options.due_ms < records.integer(event, 'due_ms')
end

local function refusal(ctx, event)
  local options = ctx.options
  if event.owner ~= options.owner then return 'missing' end
  if event.change == options.change then return 'ok' end
  if event.state then return 'ended' end
  local retry = is_retry(ctx, event)
  if event.schedule and not retry and (options.replaces_content or options.due_ms) then
    return 'made'
  end
  local quarantined = redis.call('ZSCORE', keys.quarantine(ctx), options.id)
  if (event.attempts and not retry) or quarantined then return 'begun' end
  if (event.change or '') ~= options.read_change then return 'changed' end
  if options.due_ms and options.due_ms <= ctx.now then return 'past' end
  if options.replaces_content and redis.call('EXISTS', keys.full(ctx)) == 1 then return 'full' end
end

-- Replaces the content. Returns false if the new content was written before the call and has
-- expired.
local function replace_content(ctx, key, old_revision, content)
  local id, change = ctx.options.id, ctx.options.change
  if content ~= '' then
    redis.call('SET', keys.body(ctx, id, change), content)
  elseif redis.call('PERSIST', keys.body(ctx, id, change)) == 0 then
    return false
  end
  redis.call('HSET', key, EVENT.body_revision, change, EVENT.destination, ctx.options.destination)
  shared_bodies.delete_content(ctx, ctx.options.owner, id, keys.body(ctx, id, old_revision))
  return true
end

local function change_event(key_names, args)
  local ctx = context.new(key_names, args)
  local options, id, owner = ctx.options, ctx.options.id, ctx.options.owner
  local key = keys.event(ctx, id)
  local event = records.read(key, CHANGED)
  local code = refusal(ctx, event)
  if code then return code end
  local bytes = growth(ctx, event, args[2])
  local limit = tenant_limits.reached(ctx, 0, bytes)
  if limit then return 'limit_reached:' .. limit end
  if options.replaces_content and not replace_content(ctx, key, event.body_revision, args[2]) then
    return 'expired'
  end
  tenant_limits.add(ctx, 0, bytes)
  redis.call('HSET', key, EVENT.change, options.change, EVENT.updated_ms, ctx.now)
  local due_ms = options.due_ms and string.format('%.0f', options.due_ms)
  if due_ms then
    redis.call('HSET', key, EVENT.due_ms, due_ms)
    -- Lists show an event at its first due time.
    if not event.attempts then
      redis.call('ZADD', keys.by_time(ctx, owner, 'active'), due_ms, id)
    end
    event.due_ms = due_ms
  end
  if options.cancel then
    endings.finish(ctx, id, event, 'cancelled')
  elseif options.replaces_content and (event.gates or options.gates ~= '') then
    endings.dequeue(ctx, id, event)
    gate_binding.rebind(ctx, id, event, options.gates)
  elseif due_ms then
    due.put(ctx, due.member(id, event), options.due_ms)
    slots.stop_waiting(ctx, id, event)
    slots.release(ctx, id, event)
  end
  slots.promote_at_freed(ctx)
  return 'ok'
end

redis.register_function{function_name = 'change_event_' .. VERSION, callback = change_event,
  flags = {'allow-oom'}}
