-- Binds new events to their gates: puts an event into its queue, and sets the limits of its other
-- gates.
--
-- Encoded gates are separated by blanks, in the order in which they are checked. The form of a gate
-- is `<gate>,<parallelism>,<rate>,<period ms>[,<max>]`. The parallelism and the rate are the limits
-- of the gate. `max` stands only after queues and flow-control keys: it is the maximum number of
-- queues, or of flow-control keys, that the owner may have.
local EVENT, GATE = records.EVENT, records.GATE
local LIMITS = records.fields(GATE, 'created_ms', 'parallelism', 'rate', 'period_ms',
  'parallelism_pinned', 'rate_pinned', 'paused_ms')

-- Returns the name that the owner gave to a gate, or nil.
local function name_of(gate, owner)
  local prefix = string.sub(gate, 1, 2) .. owner .. ':'
  if string.sub(gate, 1, #prefix) == prefix then return string.sub(gate, #prefix + 1) end
end

-- Returns the next acceptance number of a queue. A queue may have been created again after a
-- deletion, while events of the deleted queue remain. In this case, the new number is higher than
-- the numbers of those events.
local function next_number(ctx, gate)
  local key = keys.gate(ctx, gate)
  local number = redis.call('HINCRBY', key, GATE.last_number, 1)
  if number > 1 then return number end
  local last = redis.call('ZRANGE', keys.order(ctx, gate), -1, -1, 'WITHSCORES')[2]
  return redis.call('HINCRBY', key, GATE.last_number, math.floor(tonumber(last or 0)))
end

local function enter_queue(ctx, id, owner, gate, parallelism)
  local key, name = keys.gate(ctx, gate), name_of(gate, owner)
  if redis.call('HSETNX', key, GATE.created_ms, ctx.now) == 1 then
    redis.call('HSETNX', key, GATE.parallelism, tonumber(parallelism) or 1)
    redis.call('HSET', key, GATE.updated_ms, ctx.now)
    if name then redis.call('ZADD', keys.queues(ctx, owner), ctx.now, name) end
  end
  redis.call('ZADD', keys.order(ctx, gate), next_number(ctx, gate), id)
end

-- Sets a field, or removes the field if the new value is ''. Returns whether the value changed.
local function set_or_remove(key, field, current, new)
  if (current or '') == new then return false end
  if new == '' then redis.call('HDEL', key, field)
  else redis.call('HSET', key, field, new) end
  return true
end

-- Sets the limits of a gate to the limits that the newest event asks for. Pinned limits do not
-- change. Extends the TTL of the gate to two weeks after the due time of the event. A pinned or
-- paused gate has no TTL.
local function set_limits(ctx, owner, gate, parallelism, rate, period, due_ms)
  local key, name = keys.gate(ctx, gate), name_of(gate, owner)
  local state = records.read(key, LIMITS)
  local changed = not state.parallelism_pinned
    and set_or_remove(key, GATE.parallelism, state.parallelism, parallelism)
  if not state.rate_pinned then
    changed = set_or_remove(key, GATE.rate, state.rate, rate) or changed
    changed = set_or_remove(key, GATE.period_ms, state.period_ms, rate ~= '' and period or '')
      or changed
  end
  local ttl_ms = math.max(0, due_ms - ctx.now) + gates.KEPT_MS
  if not state.created_ms then
    redis.call('HSET', key, GATE.created_ms, ctx.now)
    redis.call('PEXPIRE', key, ttl_ms)
  elseif not (state.parallelism_pinned or state.rate_pinned or state.paused_ms) then
    gates.extend_ttl(ctx, gate, ttl_ms)
  end
  if not changed then return end
  if name and string.sub(gate, 1, 1) == 'f' then
    redis.call('ZADD', keys.flow_keys(ctx, owner), ctx.now, name)
  end
  if redis.call('EXISTS', keys.waiters(ctx, gate)) == 1 then gates.check_at(ctx, gate, ctx.now) end
end

-- Binds an event to its encoded gates; returns the names of the gates, separated by blanks.
function gate_binding.bind(ctx, id, owner, encoded, due_ms)
  local names = {}
  for text in string.gmatch(encoded, '%S+') do
    local gate, parallelism, rate, period =
      string.match(text, '^([^,]+),(%d*),(%d*),(%d*),?%d*$')
    if gates.is_queue(gate) then enter_queue(ctx, id, owner, gate, parallelism)
    else set_limits(ctx, owner, gate, parallelism, rate, period, due_ms) end
    names[#names + 1] = gate
  end
  return table.concat(names, ' ')
end

-- Returns true if a queue or flow-control key exists or may be created. It may be created if the
-- owner has fewer than `limit` gates of this kind, or if `limit` is 0.
function gate_binding.has_room(ctx, owner, gate, limit)
  if limit == 0 or redis.call('EXISTS', keys.gate(ctx, gate)) == 1 then return true end
  return redis.call('ZCARD', gates.index(ctx, owner, gate)) < limit
end

-- Returns the first of the encoded gates that must not be created, because the owner has too many
-- gates of its kind. Returns nil if there is no such gate.
function gate_binding.without_room(ctx, owner, encoded)
  for text in string.gmatch(encoded, '%S+') do
    local gate, limit = string.match(text, '^([^,]+),%d*,%d*,%d*,(%d+)$')
    if gate and not gate_binding.has_room(ctx, owner, gate, tonumber(limit)) then return gate end
  end
end

-- Replaces the gates of an event whose destination changed. The event keeps its queue and its
-- flow-control key. The caller must first remove the event from its place; `rebind` puts the event
-- into `due`.
function gate_binding.rebind(ctx, id, event, encoded)
  local kept, due_ms = {}, records.integer(event, 'due_ms')
  for _, gate in ipairs(gates.of(event)) do
    if gates.is_named_by_owner(gate) then kept[#kept + 1] = gate end
  end
  if encoded ~= '' then
    kept[#kept + 1] = gate_binding.bind(ctx, id, event.owner, encoded, due_ms)
  end
  event.gates = kept[1] and table.concat(kept, ' ')
  if event.gates then redis.call('HSET', keys.event(ctx, id), EVENT.gates, event.gates)
  else redis.call('HDEL', keys.event(ctx, id), EVENT.gates) end
  due.put(ctx, due.member(id, event), due_ms)
end
