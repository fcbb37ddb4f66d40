-- Answers creations that store nothing new. A full store refuses create_events as a whole, also for
-- a repeat of what is stored already.
--
-- Keys: prefix.
-- Options: none.
-- Args per event: see lib/new_events.
-- Answer per event: as of create_events; full if it would be stored.
-- Atomic. Writes nothing.

local function recall_events(key_names, args)
  local ctx, answers = context.new(key_names, args), {}
  for i = 2, #args, new_events.WIDTH do
    local known, id = new_events.recall(ctx, new_events.item(args, i))
    answers[#answers + 1] = known or {'full', 0, 0, id}
  end
  return answers
end

redis.register_function{function_name = 'recall_events_' .. VERSION, callback = recall_events,
  flags = {'no-writes'}}
