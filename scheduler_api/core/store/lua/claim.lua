-- Offers what is due: `due` → `leased`, and has RQ carry it; ends leases that are over; makes the
-- occurrences of schedules. Atomic, so that claims exclude each other.
-- KEYS[1] prefix
-- ARGV: now, room in ids, offer lease ms, lease ms, quiet time ms, grace of a missed fire
--   time ms; what the part `carry` has of RQ, or nothing
-- Returns {ids, an id that travels alone, schedules short of fire times, µs until the next look
--   (-1: nothing stands anywhere), ids interrupted, members set aside, epoch, 1 if it waits for RQ}
-- A repeat (answer lost) leaves the first batch to its offer lease.

local room, offer_ms, lease_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local quiet_ms, grace_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local REAPED = 200
local plain, alone, short, interrupted, aside, gated = {}, {}, {}, {}, {}, {}

--# include carry
--# include quiet
--# include pick
--# include solo

--# seldom others
--# include lift
--# include reap
--# include look
--# include gated
--# end
--# seldom schedules
--# include fire
--# end

local function each(members, handle)
  for _, member in ipairs(members) do
    local ok, problem = pcall(handle, member)
    if not ok then
      set_aside(member, problem)
      aside[#aside + 1] = member
    end
  end
end

local function take(member)
  local kind = string.sub(member, 1, 2)
  if kind == 's:' then return fire(string.sub(member, 3)) end
  if kind == 'g:' then return look(string.sub(member, 3)) end
  if string.sub(kind, 1, 1) == '~' then return take_gated(string.sub(member, 2)) end
  plain[#plain + 1] = member
end

-- While anything is leased the next look is near: a pause of half a lease counts as an outage.
local function micros_to_next()
  local soonest
  for _, set in ipairs({DUE, LEASED}) do
    local head = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
    if head[2] then soonest = math.min(soonest or math.huge, tonumber(head[2])) end
    if head[2] and set == LEASED then soonest = math.min(soonest, now + lease_ms / 4) end
  end
  if not soonest then redis.call('DEL', NEXT) return -1 end
  redis.call('SET', NEXT, string.format('%.0f', math.max(soonest, now)))
  return math.max(0, (soonest - now) * 1000 - micros)
end

each(redis.call('ZRANGEBYSCORE', LEASED, '-inf', now, 'LIMIT', 0, REAPED), reap)
if room > 0 and rq_has_room() then each(pick(), take) end
if others_open then grant_freed() end
part_solo()
offer(members(plain), offer_ms)
carry(plain, short, false)
for _, id in ipairs(alone) do carry({id}, {}, true) end
local next_look = micros_to_next()
return {plain, alone, short, next_look, interrupted, aside,
  redis.call('GET', P .. 'epoch') or '', stall(next_look) and 1 or 0}
