-- Creates a schedule, or replaces its rule: new revision, new template, new fire times.
-- Atomic: an occurrence made after the answer follows the new rule.
-- KEYS[1] prefix
-- ARGV: now, id, owner, revision it was read with ('' to create), new revision, state
--   (active or paused), expression, time zone, deadline of an attempt in ms, how many fire
--   times are wanted, fire times (ms, comma-separated), content of the template ('' if
--   written beforehand, to expire unless kept here)
-- Returns {code, created ms}: ok, missing, changed (read again), taken (id in use), nobody.
-- May run twice: what already bears the new revision is answered ok.
local sid, owner, was, becomes, state = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local expression, zone, deadline, wanted = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local times, content = ARGV[11], ARGV[12]
local key, member = schedule_key(sid), 's:' .. sid

local record = read(key, 'o', 'rv', 'c')
if record.rv == becomes and record.o == owner then return {'ok', record.c} end
if was == '' and record.o then return {'taken', 0} end
if was ~= '' and record.o ~= owner then return {'missing', 0} end
if was ~= '' and record.rv ~= was then return {'changed', 0} end
if content ~= '' then
  redis.call('SET', template_key(sid, becomes), content)
elseif redis.call('PERSIST', template_key(sid, becomes)) == 0 then
  return {'nobody', 0}
end
if was ~= '' then redis.call('ZADD', P .. 'superseded', now, sid .. ':' .. was) end
local created = record.c or string.format('%.0f', now)
redis.call('HSET', key, 'f', 1, 'o', owner, 'c', created, 'u', now, 'rv', becomes,
  'st', state, 'ex', expression, 'tz', zone, 'dl', deadline, 'k', wanted, 'times', times,
  'last', now)
redis.call('HDEL', key, 'dry', 'pl')
redis.call('SADD', P .. 'owners', owner)
redis.call('ZADD', by_time_key(owner, 'schedules'), created, sid)
if state == 'active' then
  local first = tonumber(string.match(times, '%d+') or now)
  put_due(member, first)
  redis.call('ZREM', PARKED, sid)
else
  redis.call('ZADD', PARKED, now, sid)
  redis.call('ZREM', DUE, member)
end
redis.call('ZREM', STUCK, member)
redis.call('HDEL', WHY, member)
return {'ok', created}
