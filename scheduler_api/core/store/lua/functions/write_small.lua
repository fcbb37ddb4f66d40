-- Runs small writes that must be possible in a full store, for example what an erasure remembers.
--
-- Keys: prefix.
-- Options: commands, a list of {command, key without the prefix, other arguments…}; if_exists, a key
--   without the prefix (without this key, no command runs).
-- Args: none.
-- Answer: the replies of the commands that ran.
-- Atomic. A repeated call runs the commands again.

local function write_small(key_names, args)
  local ctx, replies = context.new(key_names, args), {}
  local needed = ctx.options.if_exists
  if needed and redis.call('EXISTS', keys.named(ctx, needed)) == 0 then return replies end
  for i, command in ipairs(ctx.options.commands) do
    replies[i] = redis.call(command[1], keys.named(ctx, command[2]), unpack(command, 3))
  end
  return replies
end

redis.register_function{function_name = 'write_small_' .. VERSION, callback = write_small,
  flags = {'allow-oom'}}
