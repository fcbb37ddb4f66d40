-- Moves between `due` and `leased`, and out of both into quarantine.
--
-- Whatever still has to happen stands in exactly one of `due`, `leased` or a gate's line. A
-- function that fails keeps its effects, so each move writes the new place before it leaves the old
-- one, and each member is handled under pcall.

-- When tickers check next; nil if nothing stands anywhere. `ctx.next_check` keeps what is stored,
-- so that a call reads it once: text, or false if there is none.
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

-- Tickers sleep until the next check; wakes them if something is due earlier.
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

-- The member of an event in `due` and `leased`. A `~` marks events with gates: of events, a claim
-- reads the records of these only.
function due.member(id, event) return event.gates and '~' .. id or id end

-- Moves members from `due` to `leased`, all in two commands.
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

-- Leases members to nobody for a moment. Only one isolated event travels at a time; the others must
-- block neither what else is due nor RQ.
function due.hold_back(ctx, members) due.lease(ctx, members, 200) end

-- Whether any event is isolated; asked once per call, since nearly always none is.
function due.any_isolated(ctx)
  if ctx.any_isolated == nil then
    ctx.any_isolated = redis.call('EXISTS', keys.isolated(ctx)) == 1
  end
  return ctx.any_isolated
end

-- Removes an unreadable member from the sets and keeps the reason, so that the others go on.
function due.quarantine(ctx, member, problem)
  local id = string.gsub(member, '^~', '')
  redis.call('ZADD', keys.quarantine(ctx), ctx.now, id)
  redis.call('HSET', keys.quarantine_reasons(ctx), id, errors.text(problem))
  redis.call('ZREM', keys.due(ctx), id, '~' .. id)
  redis.call('ZREM', keys.leased(ctx), id, '~' .. id)
end
