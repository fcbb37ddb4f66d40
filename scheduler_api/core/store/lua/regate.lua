-- Part of change: the gates of an event that is sent elsewhere. Expects lift, bind, id, owner, key,
-- gates; defines regate.

-- Where it is sent may change its gates, but for its queue and its key.
local function regate(event)
  lift(id, event)
  local kept = {}
  for _, gate in ipairs(gates_of(event)) do
    if string.find(gate, '^[qf]:') then kept[#kept + 1] = gate end
  end
  if gates ~= '' then kept[#kept + 1] = bind(id, owner, gates, whole(event, 'at')) end
  event.g = kept[1] and table.concat(kept, ' ')
  if event.g then redis.call('HSET', key, 'g', event.g) else redis.call('HDEL', key, 'g') end
  put_due(member_of(id, event), whole(event, 'at'))
end
