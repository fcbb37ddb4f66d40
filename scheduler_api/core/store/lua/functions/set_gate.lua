-- Changes a gate by hand: limits, pins, a pause. What it held back goes at once if it may.
--
-- Keys: prefix.
-- Options: gate, owner, name (its name for its owner, or ''), most (how many of its kind the owner
--   may have, 0: any number; absent: do not make it), paused (true, false, or absent: as it is),
--   reset (true: forget what has begun in this period).
-- Args: names and values of fields of its record; '' removes a field.
-- Answer: 1, 0 if there is no such gate, or 2 if there is no room for it.
-- Atomic with the check of who may go. A repeat changes nothing.
local GATE = records.GATE
-- Events may be delayed by a year, and their limits must last as long. While a key is pinned or
-- paused its lifetime is not updated, so afterwards it gets the longest.
local LONGEST_DAYS = 400
local KEPT = records.fields(GATE, 'parallelism_pinned', 'rate_pinned', 'paused_ms')

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

-- A queue stays until it is deleted; any other gate expires unless it is pinned or paused.
local function set_lifetime(ctx, key, gate)
  local state = records.read(key, KEPT)
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
  local key = keys.gate(ctx, gate)
  if redis.call('HEXISTS', key, GATE.created_ms) == 0 then
    if not options.most then return 0 end
    if not gate_binding.has_room(ctx, owner, gate, options.most) then return 2 end
    redis.call('HSET', key, GATE.created_ms, ctx.now)
  end
  change(ctx, key, gate)
  set_lifetime(ctx, key, gate)
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
