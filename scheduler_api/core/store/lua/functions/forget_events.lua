-- Deletes finished events with their content and log.
--
-- Keys: prefix.
-- Options: before_ms (delete only events that finished before this time).
-- Args: ids…
-- Answer: the number of deleted events.
-- Atomic per event, so no index refers to a deleted event. A repeated call does nothing.
local FORGOTTEN = records.fields(records.EVENT, 'owner', 'schedule', 'body_revision', 'state',
  'finished_ms')

local function forget(ctx, id)
  local event = records.read(keys.event(ctx, id), FORGOTTEN)
  if not event.state or records.integer(event, 'finished_ms') >= ctx.options.before_ms then
    return 0
  end
  endings.forget(ctx, id, event)
  return 1
end

local function forget_events(key_names, args)
  local ctx, removed = context.new(key_names, args), 0
  for i = 2, #args do
    local ok, count = pcall(forget, ctx, args[i])
    if ok then removed = removed + count end
  end
  return removed
end

redis.register_function{function_name = 'forget_events_' .. VERSION, callback = forget_events,
  flags = {'allow-oom'}}
