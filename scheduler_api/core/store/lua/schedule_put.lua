-- Creates a schedule, or replaces its rule: new revision, new template, new fire times.
-- Atomic: an occurrence made after the answer follows the new rule.
-- KEYS[1] prefix
-- ARGV: now, id, owner, revision it was read with ('' to create), new revision, its name for
--   its owner or '', state (active, paused or ended), newest fire time that counts as used in ms
--   ('' for now: none given that has passed; 'on': the stored ones stay), fire times (see times),
--   those that a pause has skipped (ms, comma-separated), content of the template ('' if written
--   beforehand, to expire unless kept here), mark and how long it holds (`mark`), then fields and
--   values of the record
-- Returns {code, created ms, id}: ok, missing, changed (read again), taken (id in use), named
--   (by that name there is the answered one), past (its end is), nobody, double (id: of what).
-- May run twice: what already bears the new revision is answered ok.
local sid, owner, was, becomes, name = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local state, last, times, skipped, content = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local mark, hold = ARGV[12], ARGV[13]
local OPTIONAL = {'dry', 'pl', 'dy', 'mp', 'mb', 'j', 'start', 'end', 'max', 'left', 'jt', 'ov',
  'gap', 'fold', 'sr', 'ix', 'g', 'd'}
local key, member, names = schedule_key(sid), 's:' .. sid, names_key(owner)
local said = {}
for i = 14, #ARGV, 2 do said[ARGV[i]] = ARGV[i + 1] end
local ends, left = tonumber(said['end']), tonumber(said.max)

--# include times
--# include skipped
--# include stand
--# include terms
--# include mark

local record = read(key, 'o', 'rv', 'c', 'st', 'times', 'last', 'end', 'max', 'left',
  'ix', 'ov', 'lf')
if record.rv == becomes and record.o == owner then return {'ok', record.c, sid} end
local marked = mark_holder(owner, mark)
if marked then return {'double', 0, marked} end
if was == '' and record.o then return {'taken', 0, sid} end
if was ~= '' and record.o ~= owner then return {'missing', 0, sid} end
if was ~= '' and record.rv ~= was then return {'changed', 0, sid} end
local holder = name ~= '' and redis.call('HGET', names, name)
if holder and holder ~= sid then return {'named', 0, holder} end
if ends and ends <= now and said['end'] ~= record['end'] then return {'past', 0, sid} end
if content ~= '' then
  redis.call('SET', template_key(sid, becomes), content)
elseif redis.call('PERSIST', template_key(sid, becomes)) == 0 then
  return {'nobody', 0, sid}
end
if was ~= '' then redis.call('ZADD', P .. 'superseded', now, sid .. ':' .. was) end
local created = record.c or string.format('%.0f', now)
if left and record.max then left = left - (record.max - record.left) end
if ends and ends < now or left and left < 1 then state = 'ended' end
if last == 'on' then last, times = record.last, joined(record.times, times, record.last)
elseif last == '' then times = joined('', times, now) end
if state == 'ended' then times = '' end
redis.call('HDEL', key, unpack(OPTIONAL))
redis.call('HSET', key, 'f', 1, 'o', owner, 'c', created, 'u', now, 'rv', becomes,
  'st', state, 'times', times, 'last', last ~= '' and last or now, unpack(ARGV, 14))
note_skipped(sid, 'paused', numbers(skipped))
note_change(sid, record, said, state, left)
redis.call('SADD', P .. 'owners', owner)
redis.call('ZADD', by_time_key(owner, 'schedules'), created, sid)
put_terms(sid, owner, created, said.ix or '')
leave_terms(sid, owner, record.ix or '', said.ix or '')
if name ~= '' then
  redis.call('HSET', names, name, sid)
  redis.call('HSET', key, 'nm', name)
end
stand(sid, state, ends, tonumber(string.match(times, '%d+') or now))
redis.call('ZREM', STUCK, member)
redis.call('HDEL', WHY, member)
if was ~= '' and mark ~= '' then release_mark(owner, sid, key) end
put_mark(owner, mark, hold, sid, key)
return {'ok', created, sid}
