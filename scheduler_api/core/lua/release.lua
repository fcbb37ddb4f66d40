-- Gives back offered events that were not begun: `leased` → `due` at their own time; one that
-- travels alone is held back for a moment, or it would go round and round.
-- KEYS[1] prefix
-- ARGV: now, ids…
-- Returns how many were given back. A repeat finds nothing left to do.
local given = 0

local function release(id)
  if not redis.call('ZSCORE', LEASED, id) then return end
  local event = read(event_key(id), 'o', 'at', 'tok', 'st')
  if event.tok then return end
  if not known(event_key(id), event) or event.st then return lift(id) end
  if redis.call('SISMEMBER', SOLO, id) == 1 then
    hold_back({id})
  else
    put_due(id, whole(event, 'at'))
  end
  given = given + 1
end

for i = 2, #ARGV do
  local ok, problem = pcall(release, ARGV[i])
  if not ok then set_aside(ARGV[i], problem) end
end
wake_if_overdue()
return given
