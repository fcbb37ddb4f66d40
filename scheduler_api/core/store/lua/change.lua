-- Edits or cancels an event that was never begun: taken out of wherever it stands, changed,
-- put back. Atomic, so that a change answered as done wins every race with a worker.
-- KEYS[1] prefix
-- ARGV: now, id, owner, the last change it was read with ('' if none), name of this change,
--   '1' if what to send changes, that content ('' if written beforehand under this change's
--   name, to expire unless kept here), new wanted ms or '', '1' to cancel; if what to send
--   changes, its destination and its gates (`bind`)
-- Returns ok, missing, begun, ended, past, changed (by somebody else: read again), nobody,
--   made (by its schedule, which says what and when: it can only be cancelled).
-- May run twice: an event that bears this change's name is answered ok.

--# include lift
local id, owner, was, change = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local replaces, content = ARGV[6] == '1', ARGV[7]
local at, cancel = tonumber(ARGV[8]), ARGV[9] == '1'
local destination, gates = ARGV[10], ARGV[11]
local key = event_key(id)

--# include bind
--# include regate

local function replace_content(old)
  if content ~= '' then
    redis.call('SET', body_key(id, change), content)
  elseif redis.call('PERSIST', body_key(id, change)) == 0 then
    return false
  end
  redis.call('HSET', key, 'b', change)
  redis.call('DEL', body_key(id, old))
  redis.call('HSET', key, 'd', destination)
  return true
end

local event = read(key, 'o', 'at', 'w', 'b', 'ch', 'n', 's', 'st', 'nx', 'g', 'l',
  'ps')
if event.o ~= owner then return 'missing' end
if event.ch == change then return 'ok' end
if event.st then return 'ended' end
if event.s and (replaces or at) then return 'made' end
if event.n or redis.call('ZSCORE', STUCK, id) then return 'begun' end
if (event.ch or '') ~= was then return 'changed' end
if at and at <= now then return 'past' end
if replaces and not replace_content(event.b) then return 'nobody' end
redis.call('HSET', key, 'ch', change, 'u', now)
if at then
  redis.call('HSET', key, 'at', at)
  redis.call('ZADD', by_time_key(owner, 'active'), at, id)
  event.at = at
end
if cancel then
  finish(id, event, 'cancelled')
elseif replaces and (event.g or gates ~= '') then
  regate(event)
elseif at then
  put_due(member_of(id, event), at)
  leave_line(id, event)
  free(id, event)
end
grant_freed()
return 'ok'
