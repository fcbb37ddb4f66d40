-- Part of claim: a due schedule makes its occurrence from its stored fire times and moves on,
-- so that a chain cannot break; when the list runs low, planning is asked for (`short`).
-- Expects offer_ms, grace_ms; fills plain (ids to offer) and short (schedule ids).

--# include times
--# include missed
--# include skipped
--# include occurrence
--# include rest
local PLAN_AGAIN_MS = 5000

local function ask_for_times(sid, key, asked)
  if asked <= now and now - asked < PLAN_AGAIN_MS then return end
  redis.call('HSET', key, 'pl', now)
  short[#short + 1] = sid
end

-- The occurrence of a fire time that is wanted now; what waits longer waits in `due`.
local function occur(sid, record, at, nominal)
  local id = string.format('%s.%.0f', sid, math.floor(nominal / 1000))
  at = at + whole(record, 'dy', 0)
  if not make_occurrence(sid, record, id, at) then return end
  if record.left then redis.call('HINCRBY', schedule_key(sid), 'left', -1) end
  if record.ov then redis.call('HSET', schedule_key(sid), 'open', id) end
  redis.call('HSET', schedule_key(sid), 'lf', nominal)
  if record.g or at > now then return put_due(member_of(id, record), at) end
  redis.call('ZADD', LEASED, now + offer_ms, id)
  plain[#plain + 1] = id
end

local function fire(sid)
  local key = schedule_key(sid)
  local record = read(key, 'o', 'rv', 'st', 'dl', 'times', 'k', 'pl', 'dy', 'mp', 'mb', 'j',
    'end', 'left', 'sr', 'pn', 'ov', 'open', 'g', 'd')
  if rests(sid, key, record) then return end
  if record.st ~= 'active' then error('st is no state', 0) end
  if not record.rv then error('rv is missing', 0) end
  local wanted, asked = whole(record, 'k'), whole(record, 'pl', 0)
  record.dl = whole(record, 'dl')
  local times, missed, unknown = drop_missed(readable(record.times), record.mp or 'latest',
    whole(record, 'mb', 0))
  if missed[1] then redis.call('HINCRBY', key, 'missed', #missed) end
  note_skipped(sid, 'missed', missed)
  local last, at, nominal, rest = missed[#missed], first_time(times)
  if at and at <= now and not unknown then
    if record.ov == 'skip' and overlaps(record) then note_skipped(sid, 'overlap', {nominal})
    else occur(sid, record, at, nominal) end
    times, last = rest, nominal
    at = first_time(times)
  end
  if last then redis.call('HSET', key, 'times', times, 'last', last) end
  if record.left and whole(read(key, 'left'), 'left') < 1 then return end_schedule(sid) end
  local dry = unknown or not at
  if dry then redis.call('HSETNX', key, 'dry', now) end
  if dry or count(times) * 2 < wanted then ask_for_times(sid, key, asked) end
  redis.call('ZADD', DUE, first_look(record, dry and now + PLAN_AGAIN_MS or at), 's:' .. sid)
end
