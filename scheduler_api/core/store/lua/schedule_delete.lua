-- Removes a schedule; an occurrence that was already made goes out as it was.
-- KEYS[1] prefix
-- ARGV: now, id, owner, revision it was read with
-- Returns 1 if it was there, 0 if not. A repeat finds nothing left to do and answers alike:
--   that revision was superseded.
local sid, owner, was = ARGV[2], ARGV[3], ARGV[4]

--# include terms

local record = read(schedule_key(sid), 'o', 'rv', 'nm', 'ix')
if not record.o and redis.call('ZSCORE', P .. 'superseded', sid .. ':' .. was) then return 1 end
if record.o ~= owner then return 0 end
redis.call('ZADD', P .. 'superseded', now, sid .. ':' .. (record.rv or ''))
redis.call('ZREM', by_time_key(owner, 'schedules'), sid)
leave_terms(sid, owner, record.ix or '', '')
redis.call('ZREM', DUE, 's:' .. sid)
redis.call('ZREM', PARKED, sid)
redis.call('ZREM', STUCK, 's:' .. sid)
redis.call('HDEL', WHY, 's:' .. sid)
if record.nm then redis.call('HDEL', names_key(owner), record.nm) end
release_mark(owner, sid, schedule_key(sid))
redis.call('DEL', schedule_key(sid), skipped_key(sid))
return 1
