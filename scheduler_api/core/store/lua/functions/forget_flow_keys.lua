-- Removes flow-control keys from their owner's index whose gates have expired.
--
-- Keys: prefix.
-- Options: owner.
-- Args: names as in the index…
-- Answer: how many were removed.
-- Atomic: one that is in use again stays. A repeat finds nothing left to do.

local function forget_flow_keys(key_names, args)
  local ctx, removed = context.new(key_names, args), 0
  local owner = ctx.options.owner
  for i = 2, #args do
    if redis.call('EXISTS', keys.gate(ctx, 'f:' .. owner .. ':' .. args[i])) == 0 then
      removed = removed + redis.call('ZREM', keys.flow_keys(ctx, owner), args[i])
    end
  end
  return removed
end

redis.register_function{function_name = 'forget_flow_keys_' .. VERSION,
  callback = forget_flow_keys, flags = {'allow-oom'}}
