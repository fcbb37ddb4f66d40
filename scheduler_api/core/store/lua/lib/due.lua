-- Moves members between `due` and `leased`, and from both into quarantine.
--
-- Normally, every readable, unfinished event is in exactly one place: `due`, `leased` or the
-- waiting line of a gate. Redis does not roll back a function that fails. Therefore each move
-- writes the new place before it removes the old place. After a failure in between, the event is in
-- both places, but it is not lost. Functions handle each member in a separate pcall: an unreadable
-- member does not stop the others.

-- Returns the time when the tickers will next claim, or nil if no time is stored. `ctx.next_check`
-- caches the stored text, or false if no time is stored.
local function next_check(ctx)
  if ctx.next_check == nil then ctx.next_check = redis.call('GET', keys.next_check(ctx)) end
  return ctx.next_check and tonumber(ctx.next_check) or nil
end

function due.set_next_check(ctx, at)
  if next_check(ctx) == at then return end
  ctx.next_check = at and string.format('%.0f', at) or false
  if at then redis.call('SET', keys.next_check(ctx), ctx.next_check)
  else redis.call('DEL', keys.next_check(ctx)) end
end

-- Wakes the tickers if `at` is before their next check.
function due.wake_for(ctx, at)
  local planned = next_check(ctx)
  if planned and planned <= at then return end
  due.set_next_check(ctx, at)
  redis.call('PUBLISH', keys.wake(ctx), '')
end

function due.put(ctx, member, at)
  redis.call('ZADD', keys.due(ctx), at, member)
  redis.call('ZREM', keys.leased(ctx), member)
  due.wake_for(ctx, at)
end

-- Returns the member of an event in `due` and `leased`: `<id>`, or `~<id>` if the event has gates.
-- The prefix tells a claim that it must read the record of the event.
function due.member(id, event) return event.gates and '~' .. id or id end

-- Moves members from `due` to `leased`.
function due.lease(ctx, members, lease_ms)
  if #members == 0 then return end
  local scored = {}
  for _, member in ipairs(members) do
    scored[#scored + 1] = ctx.now + lease_ms
    scored[#scored + 1] = member
  end
  redis.call('ZADD', keys.leased(ctx), unpack(scored))
  redis.call('ZREM', keys.due(ctx), unpack(members))
end

-- Delays events by 200 ms: leases them without offering them to a worker. Delayed are isolated
-- events, because each claim offers only one of them, and events of a route that a worker has
-- paused. Without the delay, they would block other events in `due`, or fill RQ.
function due.delay(ctx, members) due.lease(ctx, members, 200) end

-- An event that was interrupted so many times in a row is isolated.
due.ISOLATED_FROM = 2

-- Whether any event is isolated. Within one call, reads this from the store only once.
function due.any_isolated(ctx)
  if ctx.any_isolated == nil then
    ctx.any_isolated = redis.call('EXISTS', keys.isolated(ctx)) == 1
  end
  return ctx.any_isolated
end

-- Moves an unreadable member to quarantine, with the reason, so that it blocks no other members.
function due.quarantine(ctx, member, problem)
  local id = string.gsub(member, '^~', '')
  redis.call('ZADD', keys.quarantine(ctx), ctx.now, id)
  redis.call('HSET', keys.quarantine_reasons(ctx), id, errors.text(problem))
  redis.call('ZREM', keys.due(ctx), id, '~' .. id)
  redis.call('ZREM', keys.leased(ctx), id, '~' .. id)
end
