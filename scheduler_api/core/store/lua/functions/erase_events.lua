-- Deletes events with their content, log, indexes and deduplication keys. An event that has not
-- ended is cancelled first. An event that is being sent is not deleted: the call only requests its
-- cancellation, and must be repeated when the attempt has ended.
--
-- Keys: prefix.
-- Options: owner.
-- Args: ids…
-- Answer per id:
--   erased: the event is deleted. An unreadable record is deleted, too.
--   running: the event is being sent.
--   missing: the owner has no such event. Remaining entries in the owner's indexes are deleted.
-- Atomic per event. A repeated call gets missing in place of erased.
local EVENT = records.EVENT
local ERASED = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule', 'journaled',
  'state', 'finished_ms', 'token', 'cancel_requested_ms', 'attempts', 'following', 'gates',
  'waits_at', 'passed_over', 'body_revision')
local STATES = {'active', 'delivered', 'dead', 'cancelled', 'cleared'}

local function erase(ctx, id, owner)
  local key = keys.event(ctx, id)
  local event = records.read(key, ERASED)
  if not records.exists(key, event) then return 'missing' end
  if event.owner ~= owner then return 'foreign' end
  if not event.state then
    if endings.cancel(ctx, id, event) then return 'running' end
    event.state = 'cancelled'
  end
  deduplication.release(ctx, owner, id, key)
  endings.forget(ctx, id, event)
  return 'erased'
end

-- Removes an event from the owner's indexes, and an unreadable event from its place.
local function clean(ctx, id, owner, is_unreadable)
  for _, state in ipairs(STATES) do
    redis.call('ZREM', keys.by_time(ctx, owner, state), id)
    redis.call('ZREM', keys.finished(ctx, owner, state), id)
  end
  if not is_unreadable then return end
  redis.call('ZREM', keys.due(ctx), id, '~' .. id)
  redis.call('ZREM', keys.leased(ctx), id, '~' .. id)
  redis.call('ZREM', keys.quarantine(ctx), id)
  redis.call('HDEL', keys.quarantine_reasons(ctx), id)
  redis.call('SREM', keys.isolated(ctx), id)
  local schedule = string.match(id, '^([^.]+)%.')
  if schedule then redis.call('ZREM', keys.occurrences(ctx, schedule), id) end
  local readable, revision = pcall(redis.call, 'HGET', keys.event(ctx, id), EVENT.body_revision)
  local current = readable and type(revision) == 'string' and revision or ''
  pcall(shared_bodies.delete_content, ctx, owner, id, keys.body(ctx, id, current))
  redis.call('DEL', keys.event(ctx, id), keys.log(ctx, id), keys.body(ctx, id),
    keys.body(ctx, id, current))
end

local function erase_events(key_names, args)
  local ctx, replies = context.new(key_names, args), {}
  local owner = ctx.options.owner
  for i = 2, #args do
    local id = args[i]
    local ok, answer = pcall(erase, ctx, id, owner)
    if not ok then answer = 'erased' end
    if answer ~= 'running' then clean(ctx, id, owner, not ok) end
    replies[#replies + 1] = answer == 'foreign' and 'missing' or answer
  end
  return replies
end

redis.register_function{function_name = 'erase_events_' .. VERSION, callback = erase_events,
  flags = {'allow-oom'}}
