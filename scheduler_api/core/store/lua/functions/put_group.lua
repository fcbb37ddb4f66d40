-- Replaces an owner's URL group if it is still as it was read.
--
-- Keys: prefix.
-- Options: owner, name, most (groups an owner may have; 0: any number).
-- Args: the record as it was read ('' if there was none), the new record ('' removes it).
-- Answer: 1 if done, 0 if it was changed meanwhile (read again), 2 if there is no room for it.
-- Atomic: of two changes at a time none is lost. A repeat is answered alike.

local function put_group(key_names, args)
  local ctx = context.new(key_names, args)
  local owner, name, most = ctx.options.owner, ctx.options.name, ctx.options.most
  local key, was, becomes = keys.groups(ctx, owner), args[2], args[3]
  local record = redis.call('HGET', key, name) or ''
  if record == becomes then return 1 end
  if record ~= was then return 0 end
  if was == '' and most > 0 and redis.call('HLEN', key) >= most then return 2 end
  if becomes == '' then
    redis.call('HDEL', key, name)
  else
    redis.call('SADD', keys.owners(ctx), owner)
    redis.call('HSET', key, name, becomes)
  end
  return 1
end

redis.register_function{function_name = 'put_group_' .. VERSION, callback = put_group,
  flags = {'allow-oom'}}
