-- Part of every script that takes events out of where they stand: lift, and finish for good.
-- Expects nothing.

--# include standing

-- Takes an event out of wherever it stands; its new place, if any, was written before, or is
-- put afterwards by the same script, which then calls grant_freed.
local function lift(id, event)
  local member = member_of(id, event)
  if redis.call('ZREM', LEASED, member) == 0 and redis.call('ZREM', DUE, member) == 0
    and redis.call('ZREM', STUCK, id) == 1 then redis.call('HDEL', WHY, id) end
  if any_alone() then redis.call('SREM', SOLO, id) end
  if not event.g then return end
  leave_line(id, event)
  free(id, event)
end

-- Ends an event: `state` is delivered, dead or cancelled. `event` holds o,
-- and at, w, s, j, n, nx, g, l, ps if any.
local function finish(id, event, state, reason)
  local key, wanted = event_key(id), first_wanted(event)
  redis.call('HSET', key, 'st', state, 'fin', now, 'u', now,
    unpack(reason and {'y', reason} or {}))
  redis.call('HDEL', key, 'tok', 'ptok', 'un', 'in')
  if state ~= 'delivered' then release_mark(event.o, id, key) end
  redis.call('ZADD', finished_key(event.o, state), now, id)
  redis.call('ZREM', by_time_key(event.o, 'active'), id)
  if not event.s then redis.call('ZADD', by_time_key(event.o, state), wanted, id) end
  tell(event, id, state, event.n)
  lift(id, event)
  if event.g then leave(id, event) end
  if event.nx then let_go(event.nx) end
end
