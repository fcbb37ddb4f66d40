-- Removes flow-control keys from the index of their owner. Only removes a flow-control key if the
-- record of its gate has expired.
--
-- Keys: prefix.
-- Options: owner.
-- Args: encoded names of flow-control keys…
-- Answer: the number of removed flow-control keys.
-- Atomic: if new events use a flow-control key again, the record of its gate exists again, and the
-- flow-control key stays in the index. A repeated call does nothing.

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
