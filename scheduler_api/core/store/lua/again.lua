-- Part of settle: an event waits for its next attempt, holding no slot. Expects lift, put_due;
-- defines try_again.

local function try_again(id, event, at)
  local key, wanted = event_key(id), first_wanted(event)
  redis.call('HSET', key, 'w', wanted, 'at', at, 'u', now)
  redis.call('HINCRBY', key, 'fl', 1)
  redis.call('HDEL', key, 'tok', 'ptok', 'un', 'in')
  lift(id, event)
  put_due(member_of(id, event), at)
  tell(event, id, 'retry', event.n)
  if event.g then grant_freed() end
end
