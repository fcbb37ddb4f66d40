-- Accepts new events: record, indexes, then `due`.
--
-- Keys: prefix.
-- Options: none.
-- Args per event: see lib/new_events.
-- Answer per event: {code, due ms, created ms, id}; codes as of `new_events.accept`.
-- Atomic, so that an answer means "stored". A repeat is answered as the first time: an id remembers
-- its nonce, and a nonce its id. A full store refuses it, since it lacks the flag allow-oom; then
-- recall_events answers repeats.

local function create_events(key_names, args)
  local ctx, batch, answers = context.new(key_names, args), new_events.batch(), {}
  for i = 2, #args, new_events.WIDTH do
    answers[#answers + 1] = new_events.accept(ctx, batch, new_events.item(args, i))
  end
  new_events.place(ctx, batch)
  return answers
end

redis.register_function{function_name = 'create_events_' .. VERSION, callback = create_events}
