-- Gives back offered events that were not begun: `leased` → `due` at their own time, where they
-- keep their slots; one that travels alone is held back for a moment, or it would go round and
-- round.
-- KEYS[1] prefix
-- ARGV: now, ids…
-- Returns how many were given back. A repeat finds nothing left to do.

--# include lift
local given = 0

local function release(id)
  local event = read(event_key(id), 'o', 'at', 'tok', 'st', 'g')
  local member = member_of(id, event)
  if event.tok or not redis.call('ZSCORE', LEASED, member) then return end
  if not known(event_key(id), event) or event.st then return lift(id, event) end
  if redis.call('SISMEMBER', SOLO, id) == 1 then
    hold_back({member})
  else
    put_due(member, whole(event, 'at'))
  end
  given = given + 1
end

-- Another window may have room: tickers look again.
local function wake_if_overdue()
  local head = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  if head[2] and tonumber(head[2]) <= now then redis.call('PUBLISH', P .. 'wake', '') end
end

for i = 2, #ARGV do
  local ok, problem = pcall(release, ARGV[i])
  if not ok then set_aside(ARGV[i], problem) end
end
wake_if_overdue()
return given
