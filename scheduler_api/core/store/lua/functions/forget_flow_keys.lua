-- Removes flow-control keys from their owner's index if the record of their gate has expired.
--
-- Keys: prefix.
-- Options: owner.
-- Args: encoded names…
-- Answer: the number of removed keys.
-- Atomic: a flow-control key that is in use again stays. A repeated call does nothing.

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
