-- Stores new events.
--
-- Keys: prefix.
-- Options:
--   tenant_limits: see lib/tenant_limits.
--   epoch: the expected epoch of the store; absent to accept any.
--   all_or_none: true to store no event if the tenant has no room for all of them.
-- Args per event: see lib/new_events.
-- Answer per event: {code, due ms, created ms, id}; codes: see `new_events.accept`.
-- Atomic. A repeated call finds the events of the first call by their nonces, and gets the same
-- answer. Each event stores its nonce. If the first call assigned the id, the key `issued_id`
-- stores this id under the nonce.
--
-- The function lacks the flag allow-oom, so a full store refuses to run the function. Then the
-- caller calls recall_events, which finds events that an earlier call has stored.

local function create_events(key_names, args)
  local ctx, batch, replies = context.new(key_names, args), new_events.batch(), {}
  if ctx.options.all_or_none then new_events.reserve(ctx, batch, args) end
  for i = 2, #args, new_events.WIDTH do
    replies[#replies + 1] = new_events.accept(ctx, batch, new_events.item(args, i))
  end
  new_events.place(ctx, batch)
  return replies
end

redis.register_function{function_name = 'create_events_' .. VERSION, callback = create_events}
