-- Part of queue_delete and claim: cancels what stood in a queue when it was deleted, some at a
-- time; whatever is being sent is asked to stop. Expects gates, finish.

--# include lift
local AT_ONCE = 100

-- Whether an event still stands in the queue afterwards. A callback does: it tells of what was
-- sent before.
local function drop_one(id, gate)
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'j', 'st', 'tok', 'cr', 'n',
    'g', 'l', 'ps', 'nx', 'qx')
  if not event.o or event.st then
    redis.call('ZREM', order_key(gate), id)
    return false
  end
  if event.qx then return true end
  if not event.cr then tell(event, id, 'asked', event.n) end
  if event.tok then
    if not event.cr then
      redis.call('HSET', event_key(id), 'cr', now, 'u', now)
      release_mark(event.o, id, event_key(id))
    end
    return true
  end
  finish(id, event, 'cancelled')
  return false
end

-- Answers how many were dropped, and whether that was all. The queue stays closed meanwhile.
local function drop(gate, most)
  local last, kept, done = redis.call('HGET', gate_key(gate), 'dp'), 0, 0
  while last and done < most do
    local ids = redis.call('ZRANGEBYSCORE', order_key(gate), '-inf', last, 'LIMIT', kept, AT_ONCE)
    if not ids[1] then
      redis.call('HDEL', gate_key(gate), 'dp')
      return done, true
    end
    for _, id in ipairs(ids) do
      local ok, stays = pcall(drop_one, id, gate)
      if not ok then redis.call('ZREM', order_key(gate), id) end
      if ok and stays then kept = kept + 1 else done = done + 1 end
    end
  end
  return done, not last
end
