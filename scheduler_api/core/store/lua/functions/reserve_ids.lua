-- Reserves ids.
--
-- Keys: prefix.
-- Options: count.
-- Args: none.
-- Answer: the number of the last reserved id. The ids before it are reserved, too.
-- Atomic. A repeated call reserves other ids.

local function reserve_ids(key_names, args)
  local ctx = context.new(key_names, args)
  servers.check(ctx)
  return redis.call('INCRBY', keys.sequence(ctx), ctx.options.count)
end

redis.register_function{function_name = 'reserve_ids_' .. VERSION, callback = reserve_ids,
  flags = {'allow-oom'}}
