-- Reserves ids.
--
-- Keys: prefix.
-- Options: count; epoch (the expected epoch of the store; absent to accept any).
-- Args: none.
-- Answer: the number of the last reserved id. The ids before it are reserved, too. 0 if the store has
--   another epoch.
-- Atomic. A repeated call reserves other ids.
--
-- The function lacks the flag allow-oom, because a full store takes no new events and schedules.

local function reserve_ids(key_names, args)
  local ctx = context.new(key_names, args)
  if servers.is_lost(ctx) then return 0 end
  servers.check(ctx)
  return redis.call('INCRBY', keys.sequence(ctx), ctx.options.count)
end

redis.register_function{function_name = 'reserve_ids_' .. VERSION, callback = reserve_ids}
