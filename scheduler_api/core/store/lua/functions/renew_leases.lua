-- Renews the leases of events that are being sent.
--
-- Keys: prefix.
-- Options: lease_ms.
-- Args: pairs of id, token.
-- Answer: the ids of events whose lease the worker has lost. A worker loses a lease if the event
--   has ended, another attempt has begun, or the time `renewable_until_ms` of the attempt has
--   passed. Because of this time, a worker that hangs cannot keep its events.
-- Atomic: no other attempt can begin between the check of the token and the renewal. A repeated
-- call renews the leases again.
local LEASE = records.fields(records.EVENT, 'token', 'renewable_until_ms', 'gates')

local function renew(ctx, id, token)
  local event = records.read(keys.event(ctx, id), LEASE)
  if event.token ~= token then return false end
  local latest = records.integer(event, 'renewable_until_ms')
  if ctx.now >= latest then return false end
  local until_ms = math.min(ctx.now + ctx.options.lease_ms, latest)
  redis.call('ZADD', keys.leased(ctx), 'XX', until_ms, due.member(id, event))
  return true
end

local function renew_leases(key_names, args)
  local ctx, lost = context.new(key_names, args), {}
  for i = 2, #args, 2 do
    local ok, kept = pcall(renew, ctx, args[i], args[i + 1])
    if not (ok and kept) then lost[#lost + 1] = args[i] end
  end
  return lost
end

redis.register_function{function_name = 'renew_leases_' .. VERSION, callback = renew_leases,
  flags = {'allow-oom'}}
