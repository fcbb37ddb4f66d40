-- Part of claim: which of the due members are offered. Expects room, gated; defines pick,
-- members.
local RECENT_MS, SHARE = 2000, 0.8

-- The oldest first, but a fifth of the room for what came due just now, so that behind a
-- backlog a new event does not wait for all of it.
local function pick()
  local head = math.max(1, math.floor(room * SHARE))
  local members = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, head)
  if #members < head or room <= head then return members end
  local seen = {}
  for _, member in ipairs(members) do seen[member] = true end
  local recent = redis.call('ZRANGEBYSCORE', DUE, now - RECENT_MS, now, 'LIMIT', 0, room)
  for _, member in ipairs(recent) do
    if #members >= room then break end
    if not seen[member] then members[#members + 1] = member end
  end
  return members
end

-- Ids as what they stand in `due`.
local function members(ids)
  if not next(gated) then return ids end
  local named = {}
  for i, id in ipairs(ids) do named[i] = gated[id] and '~' .. id or id end
  return named
end
