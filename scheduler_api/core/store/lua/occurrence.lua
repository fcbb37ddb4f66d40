-- Part of claim and run: the event that a fire time of a schedule makes, or a person.
-- Expects nothing; defines overlaps, make_occurrence.
local COPIED = {'j', 'end', 'sr', 'pn', 'd'}

--# include bind

-- Whether the newest occurrence has not ended; nothing counts, so nothing can be miscounted.
local function overlaps(record)
  if not (record.ov and record.open) then return false end
  local newest = read(event_key(record.open), 'o', 'st')
  return newest.o and not newest.st
end

-- Writes it down without a place; false if it is there already. In a schedule that lets none
-- overlap it is the newest from now on, and waits for the one before, which knows it.
local function make_occurrence(sid, record, id, at)
  if redis.call('EXISTS', event_key(id)) == 1 then return false end
  local words = {'f', 1, 'o', record.o, 'c', now, 'at', at, 'dl', record.dl, 's', sid,
    'rv', record.rv}
  for _, field in ipairs(COPIED) do
    if record[field] then
      words[#words + 1] = field
      words[#words + 1] = record[field]
    end
  end
  if overlaps(record) then
    words[#words + 1] = 'af'
    words[#words + 1] = record.open
    redis.call('HSET', event_key(record.open), 'nx', id)
  end
  local gates = record.g and bind(id, record.o, record.g, at)
  if gates then words[#words + 1], words[#words + 2] = 'g', gates end
  redis.call('HSET', event_key(id), unpack(words))
  redis.call('ZADD', occurrences_key(sid), at, id)
  redis.call('ZADD', by_time_key(record.o, 'active'), at, id)
  tell(record, id, 'created')
  return true
end
