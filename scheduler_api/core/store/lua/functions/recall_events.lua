-- Called instead of create_events while the store is full. Finds events that an earlier call of
-- create_events has stored. Stores no new events.
--
-- Keys: prefix.
-- Options: none.
-- Args per event: see lib/new_events.
-- Answer per event: {code, due ms, created ms, id}. Codes: those of `new_events.recall`; full if
--   the event would have to be stored.
-- Atomic. Writes nothing.

local function recall_events(key_names, args)
  local ctx, replies = context.new(key_names, args), {}
  for i = 2, #args, new_events.WIDTH do
    local answer, id = new_events.recall(ctx, new_events.item(args, i))
    replies[#replies + 1] = answer or {'full', 0, 0, id}
  end
  return replies
end

redis.register_function{function_name = 'recall_events_' .. VERSION, callback = recall_events,
  flags = {'no-writes'}}
