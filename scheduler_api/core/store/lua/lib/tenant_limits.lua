-- Compares what a tenant has stored with its limits, before more is stored.
--
-- The limits are in the option `tenant_limits`, which is absent if the tenant has none:
--   tenant: the id of the tenant.
--   owners: the tenant's owners, one per dialect.
--   pending: how many unfinished events and schedules these owners may have; 0: unlimited.
--   bytes: how many bytes of content they may have; 0: unlimited.
--
-- The indexes tell how much is pending. The number of bytes is the number that a chore has counted,
-- plus all that was stored later. The next count corrects it: deleted content is subtracted only
-- then, and content from before the limit is added by the first count. A tenant without a record is
-- being removed; its bytes are not counted.

-- Returns the key that exists if the tenant of an owner is being removed or was removed.
function tenant_limits.removal_of(ctx, owner)
  return keys.removed(ctx, string.match(owner, '^[^:]*'))
end

-- Returns 'removed' if the tenant of an owner is being removed or was removed, otherwise nil. Such a
-- tenant may store nothing new: what a request stored after the removal would never be erased.
function tenant_limits.removed(ctx, owner)
  if redis.call('EXISTS', tenant_limits.removal_of(ctx, owner)) == 1 then return 'removed' end
end

-- Returns how much more the tenant may store. Reads this from the store once per call.
local function room_of(ctx)
  if ctx.tenant_room then return ctx.tenant_room end
  local limits, room = ctx.options.tenant_limits, {pending = math.huge, bytes = math.huge}
  if limits.pending > 0 then
    room.pending = limits.pending
    for _, owner in ipairs(limits.owners) do
      room.pending = room.pending - redis.call('ZCARD', keys.by_time(ctx, owner, 'active'))
        - redis.call('ZCARD', keys.schedules(ctx, owner))
    end
  end
  if limits.bytes > 0 then
    local key = keys.tenant(ctx, limits.tenant)
    local stored = redis.call('HMGET', key, 'name', 'stored.bytes', 'stored.since')
    if stored[1] then
      room.bytes = limits.bytes - tonumber(stored[2] or 0) - tonumber(stored[3] or 0)
    end
  end
  ctx.tenant_room = room
  return room
end

-- Returns the limit that prevents storing `count` more events or schedules and `bytes` more of
-- content, as `pending:<limit>` or `bytes:<limit>`. Returns nil if there is room. What does not grow
-- is never prevented.
function tenant_limits.reached(ctx, count, bytes)
  local limits = ctx.options.tenant_limits
  if not limits then return nil end
  local room = room_of(ctx)
  if count > 0 and count > room.pending then return string.format('pending:%.0f', limits.pending) end
  if bytes > 0 and bytes > room.bytes then return string.format('bytes:%.0f', limits.bytes) end
end

-- Records that `count` events or schedules and `bytes` of content were stored.
function tenant_limits.add(ctx, count, bytes)
  local limits = ctx.options.tenant_limits
  if not limits then return end
  local room = room_of(ctx)
  room.pending = room.pending - count
  if room.bytes == math.huge then return end
  room.bytes = room.bytes - bytes
  redis.call('HINCRBY', keys.tenant(ctx, limits.tenant), 'stored.since', bytes)
end

-- Returns the length of content. If it is '', the caller wrote the content to `key` before the call.
-- With `old_key`, returns by how much the content is longer than the content that it replaces.
function tenant_limits.bytes(content, key, old_key)
  local bytes = content ~= '' and #content or redis.call('STRLEN', key)
  return old_key and bytes - redis.call('STRLEN', old_key) or bytes
end
