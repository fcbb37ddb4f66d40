-- Deduplication keys, by which the store recognises a repeated request.
--
-- The functions have two parameters in common. `name` is the key, or '' if the request has no key.
-- `ttl` is `<ms>` or `<ms> <digest of the request>`.
-- A key without a digest is deleted early if the event is cancelled or becomes a dead letter, or if
-- the schedule is deleted. A key with a digest exists for the whole TTL.
local EVENT = records.EVENT

-- Returns the value of a deduplication key, or nil if the key does not exist. The value is `<id>`
-- or `<id> <created ms> <digest>`.
function deduplication.find(ctx, owner, name)
  return name ~= '' and redis.call('GET', keys.deduplication(ctx, owner, name)) or nil
end

-- Sets the deduplication key of a new event or schedule, whose record is at `record_key`.
function deduplication.set(ctx, owner, name, ttl, id, record_key)
  if name == '' then return end
  local ms, digest = string.match(ttl, '^(%d+) ?(%S*)$')
  local value = id
  if digest ~= '' then value = string.format('%s %.0f %s', id, ctx.now, digest) end
  redis.call('SET', keys.deduplication(ctx, owner, name), value, 'PX', ms)
  -- The record may also be that of a schedule. The field has the same code in both.
  if digest == '' then redis.call('HSET', record_key, EVENT.deduplication_key, name) end
end

-- Deletes the deduplication key of an event or schedule, so that a request with the same key is
-- accepted again. Does not delete a key with a digest.
function deduplication.release(ctx, owner, id, record_key)
  local name = redis.call('HGET', record_key, EVENT.deduplication_key)
  if not name then return end
  local key = keys.deduplication(ctx, owner, name)
  if redis.call('GET', key) == id then redis.call('DEL', key) end
end
