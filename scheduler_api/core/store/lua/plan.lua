-- Tops up the fire times of a schedule. Atomic with the check that its rule is still the one
-- they were computed from.
-- KEYS[1] prefix
-- ARGV: now, id, revision, how many missed fire times were passed over, the newest of them (ms,
--   comma-separated), fire times (see times) …
-- Returns done, stale (edited or deleted meanwhile, or all used up), or ended (no times given:
--   the rule yields no more).
-- A repeat writes the same list again, less what was used meanwhile.
local sid, revision, missed, newest_missed = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key, member = schedule_key(sid), 's:' .. sid

--# include times
--# include skipped

local record = read(key, 'rv', 'st', 'last', 'end')
if record.rv ~= revision or record.st ~= 'active' then return 'stale' end
if not ARGV[6] then
  end_schedule(sid)
  return 'ended'
end
local last, words, dropped = tonumber(record.last), {}, numbers(newest_missed)
if dropped[1] and dropped[#dropped] > last then
  redis.call('HINCRBY', key, 'missed', missed)
  last = dropped[#dropped]
  redis.call('HSET', key, 'last', last)
  note_skipped(sid, 'missed', dropped)
end
for i = 6, #ARGV do
  local _, nominal = first_time(ARGV[i])
  if nominal > last then words[#words + 1] = ARGV[i] end
end
redis.call('HDEL', key, 'pl')
if not words[1] then return 'stale' end
redis.call('HDEL', key, 'dry')
redis.call('HSET', key, 'times', table.concat(words, ','))
put_due(member, first_look(record, (first_time(words[1]))))
return 'done'
