-- Sets the limits, pins or pause of a gate on request. Then admits the waiting events that the gate
-- now allows.
--
-- Keys: prefix.
-- Options:
--   gate, owner.
--   name: the encoded name of the gate, or ''.
--   limit: whether to create a gate that does not exist. Absent: never. 0: always. Otherwise: if
--     the owner has fewer than `limit` gates of this kind.
--   paused: true to pause the gate, false to end the pause. Absent: the pause does not change.
--   audit: see lib/audit.
--   reset: true to forget the begins of the current rate period.
-- Args: names and values of fields of the gate's record. The value '' removes a field.
-- Answer: 1 if done, 0 if the gate does not exist, 2 if the owner has `limit` gates of this kind or
--   its tenant is being removed, 3 if the gate does not exist and the store is full. A
--   full store still takes pauses.
-- Atomic. A repeated call sets the same values again.
local GATE = records.GATE
-- TTL of a flow-control key after its pin or pause has ended. An event with this flow-control key
-- may be due in up to a year, and the limits must still exist then. So the TTL is more than a year.
local LONGEST_DAYS = 400
local PERSISTENT = records.fields(GATE, 'parallelism_pinned', 'rate_pinned', 'paused_ms')

local function change(ctx, key, gate)
  local options, args = ctx.options, ctx.args
  if options.reset then redis.call('DEL', keys.begins(ctx, gate)) end
  if options.paused then
    if gates.is_destination(gate) then
      redis.call('HSETNX', keys.held_destinations(ctx), gate, ctx.now)
    end
    redis.call('HSETNX', key, GATE.paused_ms, ctx.now)
  elseif options.paused == false then
    redis.call('HDEL', key, GATE.paused_ms)
  end
  for i = 2, #args, 2 do
    if args[i + 1] == '' then redis.call('HDEL', key, GATE[args[i]])
    else redis.call('HSET', key, GATE[args[i]], args[i + 1]) end
  end
end

-- Sets the TTL of a gate. Queues, pinned gates and paused gates have no TTL.
local function set_ttl(ctx, key, gate)
  local state = records.read(key, PERSISTENT)
  if gates.is_queue(gate) then
    redis.call('HSETNX', key, GATE.parallelism, 1)
    redis.call('HSET', key, GATE.updated_ms, ctx.now)
    redis.call('HDEL', key, GATE.check_from)
  elseif state.parallelism_pinned or state.rate_pinned or state.paused_ms then
    redis.call('PERSIST', key)
  elseif redis.call('PTTL', key) < 0 then
    local longest = LONGEST_DAYS * gates.DAY_MS
    redis.call('PEXPIRE', key, gates.is_destination(gate) and gates.KEPT_MS or longest)
  end
end

local function set_gate(key_names, args)
  local ctx = context.new(key_names, args)
  local options, gate, owner = ctx.options, ctx.options.gate, ctx.options.owner
  local key, before = keys.gate(ctx, gate), audit.describe_gate(ctx, gate)
  if redis.call('HEXISTS', key, GATE.created_ms) == 0 then
    if not options.limit then return 0 end
    if tenant_limits.removed(ctx, owner) then return 2 end
    if not options.paused and redis.call('EXISTS', keys.full(ctx)) == 1 then return 3 end
    if not gate_binding.has_room(ctx, owner, gate, options.limit) then return 2 end
    redis.call('HSET', key, GATE.created_ms, ctx.now)
  end
  change(ctx, key, gate)
  set_ttl(ctx, key, gate)
  audit.write(ctx, before, audit.describe_gate(ctx, gate))
  if options.name ~= '' then
    redis.call('ZADD', gates.index(ctx, owner, gate), 'NX', ctx.now, options.name)
  end
  if gates.is_queue(gate) then gate_checks.promote_through(ctx, gate)
  else slots.promote_waiters(ctx, gate) end
  slots.promote_at_freed(ctx)
  return 1
end

redis.register_function{function_name = 'set_gate_' .. VERSION, callback = set_gate,
  flags = {'allow-oom'}}
