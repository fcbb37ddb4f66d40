-- Removes finished events for good. Atomic per event, so that no index names a missing one.
-- KEYS[1] prefix
-- ARGV: now, ms before which they must have finished, ids…
-- Returns how many were removed. A repeat finds nothing left to do.

--# include lift
local before, removed = tonumber(ARGV[2]), 0

local function forget(id)
  local event = read(event_key(id), 'o', 's', 'b', 'st', 'fin')
  if not event.st or whole(event, 'fin') >= before then return end
  redis.call('ZREM', finished_key(event.o, event.st), id)
  redis.call('ZREM', by_time_key(event.o, event.st), id)
  if event.s then
    redis.call('ZREM', occurrences_key(event.s), id)
  else
    redis.call('DEL', body_key(id, event.b))
  end
  lift(id, event)
  redis.call('DEL', event_key(id), log_key(id))
  removed = removed + 1
end

for i = 3, #ARGV do pcall(forget, ARGV[i]) end
return removed
