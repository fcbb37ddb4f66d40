-- Part of schedule_put: where a schedule stands. Expects nothing.

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
