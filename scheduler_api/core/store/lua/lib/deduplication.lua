-- Deduplication keys, by which the store recognises a repeated request.
--
-- `name`: the key, or '' if the request has none. `ttl`: `<ms>` or `<ms> <digest of the request>`.
-- A key with a digest exists for the whole TTL, even if the event or schedule is cancelled or
-- deleted.
local EVENT = records.EVENT

-- Returns the value of an owner's key (`<id>` or `<id> <created ms> <digest>`), or nil.
function deduplication.find(ctx, owner, name)
  return name ~= '' and redis.call('GET', keys.deduplication(ctx, owner, name)) or nil
end

-- Sets the key of an event or schedule that was just stored at `record_key`.
function deduplication.set(ctx, owner, name, ttl, id, record_key)
  if name == '' then return end
  local ms, digest = string.match(ttl, '^(%d+) ?(%S*)$')
  local value = id
  if digest ~= '' then value = string.format('%s %.0f %s', id, ctx.now, digest) end
  redis.call('SET', keys.deduplication(ctx, owner, name), value, 'PX', ms)
  -- The field `deduplication_key` has the same code in the records of events and schedules.
  if digest == '' then redis.call('HSET', record_key, EVENT.deduplication_key, name) end
end

-- Deletes the key of an event or schedule, so that a request with the same key is accepted again. A
-- key with a digest stays.
function deduplication.release(ctx, owner, id, record_key)
  local name = redis.call('HGET', record_key, EVENT.deduplication_key)
  if not name then return end
  local key = keys.deduplication(ctx, owner, name)
  if redis.call('GET', key) == id then redis.call('DEL', key) end
end
