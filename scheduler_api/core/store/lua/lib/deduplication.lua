-- Deduplication keys: how a repeated request is recognised.
--
-- `key` is '' if the request has none. `hold` is `<ms>` or `<ms> <digest of the request>`: how long
-- the key holds. With a digest it holds even if what it names is cancelled or deleted.
local EVENT = records.EVENT

-- What an owner's key stands for, or nil.
function deduplication.holder(ctx, owner, key)
  return key ~= '' and redis.call('GET', keys.deduplication(ctx, owner, key)) or nil
end

-- Sets the key of what has just been stored; `record_key` names its record.
function deduplication.hold(ctx, owner, key, hold, id, record_key)
  if key == '' then return end
  local ms, digest = string.match(hold, '^(%d+) ?(%S*)$')
  local held = id
  if digest ~= '' then held = string.format('%s %.0f %s', id, ctx.now, digest) end
  redis.call('SET', keys.deduplication(ctx, owner, key), held, 'PX', ms)
  -- Events and schedules store it under the same code.
  if digest == '' then redis.call('HSET', record_key, EVENT.deduplication_key, key) end
end

-- What failed or was cancelled may be requested again.
function deduplication.release(ctx, owner, id, record_key)
  local key = redis.call('HGET', record_key, EVENT.deduplication_key)
  if not key then return end
  local held = keys.deduplication(ctx, owner, key)
  if redis.call('GET', held) == id then redis.call('DEL', held) end
end
