-- Cancels events, also between and during their attempts. One being sent is only asked to
-- stop: it ends delivered if this attempt succeeds, cancelled otherwise. Atomic per event.
-- KEYS[1] prefix
-- ARGV: now, owner, ids…
-- Returns per id: cancelled, asked, again (asked before), ended, missing.
local owner, answers = ARGV[2], {}

local function cancel(id)
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'j', 'st', 'tok', 'cr', 'n')
  if event.o ~= owner then return 'missing' end
  if event.st then return 'ended' end
  if event.cr then return 'again' end
  tell(event, id, 'asked', event.n)
  if event.tok then
    redis.call('HSET', event_key(id), 'cr', now, 'u', now)
    return 'asked'
  end
  finish(id, event, 'cancelled')
  return 'cancelled'
end

for i = 3, #ARGV do
  local ok, answer = pcall(cancel, ARGV[i])
  answers[#answers + 1] = ok and answer or 'missing'
end
return answers
