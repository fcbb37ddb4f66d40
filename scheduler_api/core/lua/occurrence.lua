-- Part of claim: the event that a fire time of a schedule makes.
-- Expects offer_ms; fills plain (ids to offer).

local function make_occurrence(sid, record, nominal)
  local id = sid .. '.' .. string.format('%.0f', math.floor(nominal / 1000))
  if redis.call('EXISTS', event_key(id)) == 1 then return end
  local delay = whole(record, 'dy', 0)
  local at = nominal + delay
  local words = {'f', 1, 'o', record.o, 'c', now, 'at', at, 'dl', record.dl, 's', sid,
    'rv', record.rv}
  for _, field in ipairs({'j', 'end', 'sr'}) do
    if record[field] then
      words[#words + 1] = field
      words[#words + 1] = record[field]
    end
  end
  redis.call('HSET', event_key(id), unpack(words))
  redis.call('ZADD', occurrences_key(sid), at, id)
  redis.call('ZADD', by_time_key(record.o, 'active'), at, id)
  tell(record, id, 'created')
  if record.left then redis.call('HINCRBY', schedule_key(sid), 'left', -1) end
  if delay > 0 then return put_due(id, at) end
  redis.call('ZADD', LEASED, now + offer_ms, id)
  plain[#plain + 1] = id
end
