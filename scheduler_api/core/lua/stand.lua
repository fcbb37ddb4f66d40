-- Part of schedule_put: which fire times a schedule has, and where it stands.
-- Expects nothing; defines joined, stand.

-- Its stored fire times before the given ones, then those.
local function joined(stored, times)
  local kept, first = {}, tonumber(string.match(times, '%d+'))
  for at in string.gmatch(stored, '%d+') do
    if tonumber(at) < first then kept[#kept + 1] = at end
  end
  kept[#kept + 1] = times
  return table.concat(kept, ',')
end

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
