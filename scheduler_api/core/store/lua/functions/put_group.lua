-- Creates, replaces or deletes a URL group. Does nothing if the group has changed since the caller
-- read it.
--
-- Keys: prefix.
-- Options: owner, name, limit (maximum number of the owner's groups; 0: no limit), audit (see
--   lib/audit).
-- Args: the record that the caller read ('' for a new group), the new record ('' to delete the
--   group). With `audit`, also both records as the audit log shows them.
-- Answer:
--   1: the stored record equals the new record.
--   0: the stored record equals neither the new record nor the record that the caller read.
--   2: the owner already has `limit` groups, or its tenant is being removed.
--   3: the new record is longer than the old one, and the store is full.
-- Atomic: no concurrent change is lost. If the first call got 1, a repeated call also gets 1.

local function put_group(key_names, args)
  local ctx = context.new(key_names, args)
  local owner, name, limit = ctx.options.owner, ctx.options.name, ctx.options.limit
  local key, read, new = keys.groups(ctx, owner), args[2], args[3]
  local record = redis.call('HGET', key, name) or ''
  if record == new then return 1 end
  if record ~= read then return 0 end
  if new ~= '' and tenant_limits.removed(ctx, owner) then return 2 end
  if #new > #record and redis.call('EXISTS', keys.full(ctx)) == 1 then return 3 end
  if read == '' and limit > 0 and redis.call('HLEN', key) >= limit then return 2 end
  if new == '' then
    redis.call('HDEL', key, name)
  else
    redis.call('SADD', keys.owners(ctx), owner)
    redis.call('HSET', key, name, new)
  end
  audit.write(ctx, args[4], args[5])
  return 1
end

redis.register_function{function_name = 'put_group_' .. VERSION, callback = put_group,
  flags = {'allow-oom'}}
