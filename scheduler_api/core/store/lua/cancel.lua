-- Cancels events, also between and during their attempts. One being sent is only asked to
-- stop: it ends delivered if this attempt succeeds, cancelled otherwise. Atomic per event.
-- KEYS[1] prefix
-- ARGV: now, owner, name of this cancellation, ids…
-- Returns per id: cancelled, asked, again (asked before), ended, missing.
-- May run twice: an event that bears this name is answered as the first time.

--# include lift
local owner, name, answers = ARGV[2], ARGV[3], {}

local function cancel(id)
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'j', 'st', 'tok', 'cr', 'n',
    'ch', 'nx', 'g', 'l', 'ps')
  if event.o ~= owner then return 'missing' end
  if event.ch == name then return event.cr and 'asked' or 'cancelled' end
  if event.st then return 'ended' end
  if event.cr then return 'again' end
  tell(event, id, 'asked', event.n)
  if event.tok then
    redis.call('HSET', event_key(id), 'ch', name, 'cr', now, 'u', now)
    release_mark(owner, id, event_key(id))
    return 'asked'
  end
  finish(id, event, 'cancelled')
  redis.call('HSET', event_key(id), 'ch', name)
  return 'cancelled'
end

for i = 4, #ARGV do
  local ok, answer = pcall(cancel, ARGV[i])
  answers[#answers + 1] = ok and answer or 'missing'
end
return answers
