-- Gives back events that were offered but not begun: moves them from `leased` to `due`. The events
-- keep their slots. An isolated event stays in `leased` for a short delay. Without the delay, it
-- could be offered and released in a tight loop.
--
-- Keys: prefix.
-- Options: none.
-- Args: ids…
-- Answer: the number of released events.
-- Atomic per event. A repeated call does nothing.
local OFFERED = records.fields(records.EVENT, 'owner', 'due_ms', 'token', 'state', 'gates')

local function release(ctx, id)
  local key = keys.event(ctx, id)
  local event = records.read(key, OFFERED)
  local member = due.member(id, event)
  if event.token or not redis.call('ZSCORE', keys.leased(ctx), member) then return 0 end
  if not records.exists(key, event) or event.state then
    endings.dequeue(ctx, id, event)
    return 0
  end
  if redis.call('SISMEMBER', keys.isolated(ctx), id) == 1 then due.delay(ctx, {member})
  else due.put(ctx, member, records.integer(event, 'due_ms')) end
  return 1
end

local function release_events(key_names, args)
  local ctx, released = context.new(key_names, args), 0
  for i = 2, #args do
    local ok, answer = pcall(release, ctx, args[i])
    if ok then released = released + answer else due.quarantine(ctx, args[i], answer) end
  end
  -- If events are due, wakes the tickers, because another worker may have room for the events.
  local head = redis.call('ZRANGE', keys.due(ctx), 0, 0, 'WITHSCORES')
  if head[2] and tonumber(head[2]) <= ctx.now then redis.call('PUBLISH', keys.wake(ctx), '') end
  return released
end

redis.register_function{function_name = 'release_' .. VERSION, callback = release_events,
  flags = {'allow-oom'}}
