-- Prolongs the leases of events that are being sent. Atomic with the check of the token.
-- KEYS[1] prefix
-- ARGV: now, lease ms, then pairs: id, token
-- Returns the ids that are lost: settled, ended, taken from this worker, or past the time
--   that no renewal passes (a worker that hangs must lose its events in the end).
local lease_ms, lost = tonumber(ARGV[2]), {}

local function renew(id, token)
  local event = read(event_key(id), 'tok', 'un', 'g')
  if event.tok ~= token then return false end
  local latest = whole(event, 'un')
  if now >= latest then return false end
  redis.call('ZADD', LEASED, 'XX', math.min(now + lease_ms, latest),
    member_of(id, event))
  return true
end

for i = 3, #ARGV, 2 do
  local ok, kept = pcall(renew, ARGV[i], ARGV[i + 1])
  if not (ok and kept) then lost[#lost + 1] = ARGV[i] end
end
return lost
