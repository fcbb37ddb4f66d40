-- Moves members between `due` and `leased`, and from both into quarantine.
--
-- Every unfinished event is in exactly one place: `due`, `leased` or the waiting line of a gate. A
-- function that fails is not rolled back. Therefore each move writes the new place before it
-- removes the old one, and each member is handled in its own pcall.

-- The time of the tickers' next check, or nil. `ctx.next_check` caches the stored text; false means
-- that none is stored.
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

-- Wakes the tickers if something is due before their next check.
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

-- The member of an event in `due` and `leased`. Events with gates have a `~` in front: a claim must
-- read their records, and only theirs.
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

-- Delays members by leasing them without a worker. Only one isolated event is offered at a time;
-- the others must not block other due events or fill RQ.
function due.delay(ctx, members) due.lease(ctx, members, 200) end

-- Whether any event is isolated; read once per call.
function due.any_isolated(ctx)
  if ctx.any_isolated == nil then
    ctx.any_isolated = redis.call('EXISTS', keys.isolated(ctx)) == 1
  end
  return ctx.any_isolated
end

-- Moves an unreadable member to quarantine with the reason, so that it does not block others.
function due.quarantine(ctx, member, problem)
  local id = string.gsub(member, '^~', '')
  redis.call('ZADD', keys.quarantine(ctx), ctx.now, id)
  redis.call('HSET', keys.quarantine_reasons(ctx), id, errors.text(problem))
  redis.call('ZREM', keys.due(ctx), id, '~' .. id)
  redis.call('ZREM', keys.leased(ctx), id, '~' .. id)
end
