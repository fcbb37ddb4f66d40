-- Part of schedule_put: what is known of a schedule from a change on, and where it stands.
-- Expects nothing.

-- A paused one with an end stands in `due` as well, so that it ends by itself.
local function stand(sid, state, ends, first)
  local look = state == 'active' and first or math.huge
  if state ~= 'ended' and ends then look = math.min(look, ends + 1) end
  if look < math.huge then
    put_due('s:' .. sid, look)
    redis.call('ZREM', PARKED, sid)
    return
  end
  if state == 'paused' then redis.call('ZADD', PARKED, now, sid)
  else redis.call('ZREM', PARKED, sid) end
  redis.call('ZREM', DUE, 's:' .. sid)
end

-- The fire times left to it, how often it was paused, and which occurrence the next may overlap.
local function note_change(sid, record, said, state, left)
  local key = schedule_key(sid)
  if left then redis.call('HSET', key, 'left', left) end
  if state == 'paused' and record.st ~= state then redis.call('HINCRBY', key, 'pn', 1) end
  if said.ov and not record.ov and record.lf then
    local newest = string.format('%s.%.0f', sid, math.floor(record.lf / 1000))
    redis.call('HSET', key, 'open', newest)
  end
end
