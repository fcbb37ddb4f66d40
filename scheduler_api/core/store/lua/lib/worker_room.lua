-- The limits of a busy worker for destinations and tenants: whether there is room for an event, and at
-- which gate it must wait otherwise. `share` is the table of `fair_share.new`.
local MOST_TENANTS = 4
local MOST_DELAYED = 16
local FAST, SLOW, LATER = 'fast', 'slow', 'later'

worker_room.FAST, worker_room.SLOW, worker_room.LATER = FAST, SLOW, LATER

-- Returns the part of `room` that each tenant gets. A tenant gets all of it if no other is wanted.
local function part(share, room)
  return math.floor(room / math.min(share.tenant_count, MOST_TENANTS))
end

-- Returns whether an event of a destination that is not fast may begin. An unknown destination may
-- use the reserve as long as its tenant has few events in flight: so there is room for a tenant that
-- was not seen before, even if others have filled the rest.
local function has_room(share, class, count)
  if share.tenant_count > 1 and count >= part(share, share.size - share.reserve) then
    return false
  end
  if share.general_room > 0 then return true end
  local half = math.floor(share.reserve / 2)
  return class ~= SLOW and share.general_room > -half and count < math.max(1, part(share, half))
end

-- Whether events wait in the line of a tenant. Reads this once per call.
local function has_waiters(ctx, share, tenant)
  if share.waiting[tenant] == nil then
    local waiters = keys.waiters(ctx, gates.slow_gate_of(tenant))
    share.waiting[tenant] = redis.call('EXISTS', waiters) == 1
  end
  return share.waiting[tenant]
end

-- Returns whether a worker may try an unknown destination although its tenant has no room: it may be
-- fast. The number of trials in flight is limited, because they may hang. Together with other unknown
-- destinations, they begin in half of the reserve.
local function may_try(share, tenant)
  local trials = share.trials_of[tenant] or 0
  return share.trial_room > 0 and trials < math.max(1, part(share, share.size / 4))
    and share.general_room > -math.max(1, math.floor(share.reserve / 4))
end

local function has_gate(event, gate)
  return string.find(' ' .. (event.gates or '') .. ' ', ' ' .. gate .. ' ', 1, true) ~= nil
end

-- Returns the gate at which an event to a fast destination must wait, or nil. A tenant whose other
-- events have used up its part of the worker still has its part of the reserve for these.
local function full_gate_of_fast(share, event)
  local count, fast = share.tenants[event.tenant], share.fast_of[event.tenant] or 0
  local is_full = share.tenant_count > 1 and count >= part(share, share.size)
    and fast >= part(share, share.reserve)
  return is_full and event.origin_gate or nil
end

-- Returns what an event waits for while its new destination is tried: a moment, because the result
-- usually comes at once. If there are many such events, the others wait at the gate.
local function wait_for_trial(share, gate)
  local count = (share.delayed[gate] or 0) + 1
  share.delayed[gate] = count
  return count <= MOST_DELAYED and LATER or gate
end

-- Returns the gate at which an event must wait because a limit is reached, LATER if it must wait for a
-- moment, or nil; and the line of its tenant if the event must join it because others wait there. Adds
-- a field `is_trial` to an event that begins as a trial.
--
-- Events of fast destinations never join the line. Neither do those of an unknown destination while it
-- is tried. An event that has waited in the line is not a trial: most events there are for
-- destinations that hang, and would leave no trials for others. An event that has waited at its
-- destination waits there again, so that a flood does not move from one gate to the other.
function worker_room.limits(ctx, share, event)
  local gate, tenant = event.origin_gate, event.tenant
  local class, in_flight = share.classes[gate], share.in_flight[gate]
  if share.limit > 0 and share.destination_count > 1 and in_flight >= share.limit then return gate end
  if class == FAST then return full_gate_of_fast(share, event) end
  local line, has_own_room = gates.slow_gate_of(tenant), has_room(share, class, share.tenants[tenant])
  if has_own_room and not has_waiters(ctx, share, tenant) then return nil end
  if not class and not has_gate(event, line) then
    event.is_trial = in_flight == 0 and may_try(share, tenant)
    if event.is_trial then return nil end
    if in_flight > 0 then return wait_for_trial(share, gate) end
  end
  if has_own_room then return nil, line end
  return has_gate(event, gate) and gate or line
end
