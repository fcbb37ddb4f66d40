-- Makes an occurrence of a schedule for now, because a person asks for it. Atomic: it has a place
-- once it is there. Its fire times do not move on, and it counts for no number of runs.
-- KEYS[1] prefix
-- ARGV: now, id, owner, id of the occurrence
-- Returns ok, missing, ended, full, or overlaps (the one before has not ended).
-- May run twice: an occurrence that is there already is answered ok.
local sid, owner, id = ARGV[2], ARGV[3], ARGV[4]

--# include occurrence

local record = read(schedule_key(sid), 'o', 'rv', 'st', 'dl', 'j', 'end', 'sr', 'ov', 'open', 'ps')
if record.o ~= owner then return 'missing' end
if redis.call('EXISTS', event_key(id)) == 1 then return 'ok' end
if record.st == 'ended' or record['end'] and whole(record, 'end') < now then return 'ended' end
if record.ov == 'skip' and overlaps(record) then return 'overlaps' end
if redis.call('EXISTS', P .. 'full') == 1 then return 'full' end
-- A pause takes back what was made until then.
local made = math.max(now, whole(record, 'ps', 0) + 1)
make_occurrence(sid, record, id, now, made)
put_due(id, now)
if record.ov then redis.call('HSET', schedule_key(sid), 'open', id) end
return 'ok'
