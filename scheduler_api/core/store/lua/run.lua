-- Makes an occurrence of a schedule for now, because a person asks for it. Atomic: it has a place
-- once it is there. Its fire times do not move on, and it counts for no number of runs.
-- KEYS[1] prefix
-- ARGV: now, id, owner, id of the occurrence, id of the one whose content it sends again
--   ('' for what the schedule sends now), mark and how long it holds (`mark`)
-- Returns ok, missing, ended, full, overlaps (the one before has not ended), or unfinished (the
--   one that is to be sent again); `double:` and what holds the mark.
-- May run twice: an occurrence that is there already is answered ok.
local sid, owner, id, origin = ARGV[2], ARGV[3], ARGV[4], ARGV[5] or ''
local mark, hold = ARGV[6] or '', ARGV[7]

--# include occurrence
--# include mark

-- The revision of what it sends again, or why it cannot; kept for as long as this one is.
local function revision_again(present)
  local before = read(event_key(origin), 's', 'rv', 'st')
  if before.s ~= sid then return nil, 'missing' end
  if not before.st then return nil, 'unfinished' end
  if redis.call('EXISTS', template_key(sid, before.rv)) == 0 then return nil, 'missing' end
  if before.rv ~= present then
    redis.call('ZADD', P .. 'superseded', now, sid .. ':' .. before.rv)
  end
  return before.rv
end

local record = read(schedule_key(sid), 'o', 'rv', 'st', 'dl', 'j', 'end', 'sr', 'ov', 'open', 'pn',
  'g', 'd')
if record.o ~= owner then return 'missing' end
if redis.call('EXISTS', event_key(id)) == 1 then return 'ok' end
local marked = mark_holder(owner, mark)
if marked then return 'double:' .. marked end
if record.st == 'ended' or record['end'] and whole(record, 'end') < now then return 'ended' end
if record.ov == 'skip' and overlaps(record) then return 'overlaps' end
if redis.call('EXISTS', P .. 'full') == 1 then return 'full' end
if origin ~= '' then
  local revision, problem = revision_again(record.rv)
  if problem then return problem end
  record.rv = revision
end
make_occurrence(sid, record, id, now)
if origin ~= '' then redis.call('HSET', event_key(id), 'ro', origin) end
put_due(member_of(id, record), now)
put_mark(owner, mark, hold, id, event_key(id))
if record.ov then redis.call('HSET', schedule_key(sid), 'open', id) end
return 'ok'
