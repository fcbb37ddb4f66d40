-- Part of claim: a due schedule makes its occurrence from its stored fire times and moves on,
-- so that a chain cannot break; when the list runs low, planning is asked for (`short`).
-- Expects offer_ms, grace_ms; fills plain (ids to offer) and short (schedule ids).
local PLAN_AGAIN_MS = 5000

local function ask_for_times(sid, key, asked)
  if asked <= now and now - asked < PLAN_AGAIN_MS then return end
  redis.call('HSET', key, 'pl', now)
  short[#short + 1] = sid
end

-- A paused schedule with an end stands in `due` for nothing else but to end.
local function rests(sid, record)
  if record['end'] and whole(record, 'end') < now then return end_schedule(sid) end
  if record['end'] then
    return redis.call('ZADD', DUE, whole(record, 'end') + 1, 's:' .. sid)
  end
  redis.call('ZREM', DUE, 's:' .. sid)
end

local function fire(sid)
  local key, member = schedule_key(sid), 's:' .. sid
  local record = read(key, 'o', 'rv', 'st', 'dl', 'times', 'k', 'pl', 'dy',
    'mp', 'mb', 'j', 'end', 'left', 'sr')
  if not known(key, record) or record.st == 'ended' then
    return redis.call('ZREM', DUE, member)
  end
  if record.st == 'paused' then return rests(sid, record) end
  if record.st ~= 'active' then error('st is no state', 0) end
  if not record.rv then error('rv is missing', 0) end
  local times, wanted, asked = listed(record.times), whole(record, 'k'), whole(record, 'pl', 0)
  if record['end'] and whole(record, 'end') < now then return end_schedule(sid) end
  record.dl = whole(record, 'dl')
  local dropped, last, unknown = drop_missed(times, record.mp or 'latest', whole(record, 'mb', 0))
  if dropped > 0 then redis.call('HINCRBY', key, 'missed', dropped) end
  if times[1] and times[1] <= now and not unknown then
    last = table.remove(times, 1)
    make_occurrence(sid, record, last)
    redis.call('HSET', key, 'lf', last)
  end
  if last then redis.call('HSET', key, 'times', join(times), 'last', last) end
  if record.left and whole(read(key, 'left'), 'left') < 1 then return end_schedule(sid) end
  local dry = unknown or not times[1]
  if dry then redis.call('HSETNX', key, 'dry', now) end
  if dry or #times * 2 < wanted then ask_for_times(sid, key, asked) end
  redis.call('ZADD', DUE, first_look(record, dry and now + PLAN_AGAIN_MS or times[1]), member)
end
