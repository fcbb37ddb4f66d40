-- How a new event enters its queue and brings limits to its gates.
--
-- Gates arrive as words in the order of their checks, each with the limits that it brings and maybe
-- how many of its kind its owner may have: `<gate>,<parallelism>,<rate>,<period ms>[,<most>]`.
local EVENT, GATE = records.EVENT, records.GATE
local LIMITS = records.fields(GATE, 'created_ms', 'parallelism', 'rate', 'period_ms',
  'parallelism_pinned', 'rate_pinned', 'paused_ms')

-- What the owner calls a gate, if the gate bears a name of theirs.
local function name_of(gate, owner)
  local prefix = string.sub(gate, 1, 2) .. owner .. ':'
  if string.sub(gate, 1, #prefix) == prefix then return string.sub(gate, #prefix + 1) end
end

-- The order of a queue is the order of acceptance. A queue that was deleted and made again goes on
-- behind what is left of the old one.
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

-- Sets a field, or removes it if the wanted value is ''. Returns whether it changed.
local function set_or_drop(key, field, is, wanted)
  if (is or '') == wanted then return false end
  if wanted == '' then redis.call('HDEL', key, field)
  else redis.call('HSET', key, field, wanted) end
  return true
end

-- The limits of the latest event hold, unless they are pinned. Without events they expire, unless
-- somebody pinned or paused them.
local function bring_limits(ctx, owner, gate, parallelism, rate, period, due_ms)
  local key, name = keys.gate(ctx, gate), name_of(gate, owner)
  local state = records.read(key, LIMITS)
  local changed = not state.parallelism_pinned
    and set_or_drop(key, GATE.parallelism, state.parallelism, parallelism)
  if not state.rate_pinned then
    changed = set_or_drop(key, GATE.rate, state.rate, rate) or changed
    changed = set_or_drop(key, GATE.period_ms, state.period_ms, rate ~= '' and period or '')
      or changed
  end
  local kept_ms = math.max(0, due_ms - ctx.now) + gates.KEPT_MS
  if not state.created_ms then
    redis.call('HSET', key, GATE.created_ms, ctx.now)
    redis.call('PEXPIRE', key, kept_ms)
  elseif not (state.parallelism_pinned or state.rate_pinned or state.paused_ms) then
    gates.keep(ctx, gate, kept_ms)
  end
  if not changed then return end
  if name and string.sub(gate, 1, 1) == 'f' then
    redis.call('ZADD', keys.flow_keys(ctx, owner), ctx.now, name)
  end
  if redis.call('EXISTS', keys.waiters(ctx, gate)) == 1 then gates.check_at(ctx, gate, ctx.now) end
end

-- Binds an event to its gates; returns their names, separated by blanks.
function gate_binding.bind(ctx, id, owner, words, due_ms)
  local names = {}
  for word in string.gmatch(words, '%S+') do
    local gate, parallelism, rate, period =
      string.match(word, '^([^,]+),(%d*),(%d*),(%d*),?%d*$')
    if gates.is_queue(gate) then enter_queue(ctx, id, owner, gate, parallelism)
    else bring_limits(ctx, owner, gate, parallelism, rate, period, due_ms) end
    names[#names + 1] = gate
  end
  return table.concat(names, ' ')
end

-- Whether a gate exists or may be made; `most` 0 is no limit.
function gate_binding.has_room(ctx, owner, gate, most)
  if most == 0 or redis.call('EXISTS', keys.gate(ctx, gate)) == 1 then return true end
  return redis.call('ZCARD', gates.index(ctx, owner, gate)) < most
end

-- The first of an event's gates that its owner has no room for.
function gate_binding.without_room(ctx, owner, words)
  for word in string.gmatch(words, '%S+') do
    local gate, most = string.match(word, '^([^,]+),%d*,%d*,%d*,(%d+)$')
    if gate and not gate_binding.has_room(ctx, owner, gate, tonumber(most)) then return gate end
  end
end

-- Gives an event that was dequeued the gates of its new destination; it keeps its queue and its
-- flow-control key. Puts it back into `due`.
function gate_binding.rebind(ctx, id, event, words)
  local kept, due_ms = {}, records.integer(event, 'due_ms')
  for _, gate in ipairs(gates.of(event)) do
    if gates.is_named_by_owner(gate) then kept[#kept + 1] = gate end
  end
  if words ~= '' then
    kept[#kept + 1] = gate_binding.bind(ctx, id, event.owner, words, due_ms)
  end
  event.gates = kept[1] and table.concat(kept, ' ')
  if event.gates then redis.call('HSET', keys.event(ctx, id), EVENT.gates, event.gates)
  else redis.call('HDEL', keys.event(ctx, id), EVENT.gates) end
  due.put(ctx, due.member(id, event), due_ms)
end
