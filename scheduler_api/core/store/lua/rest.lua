-- Part of claim: schedules that are due and do not fire, since they are over or paused.
-- Expects nothing; defines rests.

local function over(sid, record)
  local left = {}
  for word in string.gmatch(record.times, '[^,]+') do
    local _, nominal = first_time(word)
    if nominal <= whole(record, 'end') then left[#left + 1] = nominal end
  end
  note_skipped(sid, 'end', left)
  end_schedule(sid)
end

-- Whether it does not fire now; a paused one with an end stands in `due` for nothing but that.
local function rests(sid, key, record)
  if not known(key, record) or record.st == 'ended' then
    redis.call('ZREM', DUE, 's:' .. sid)
  elseif record['end'] and whole(record, 'end') < now then
    over(sid, record)
  elseif record.st == 'paused' then
    if record['end'] then redis.call('ZADD', DUE, whole(record, 'end') + 1, 's:' .. sid)
    else redis.call('ZREM', DUE, 's:' .. sid) end
  else
    return false
  end
  return true
end
