-- Part of claim and gate_set: a gate that somebody waits at is looked at when it may open, else
-- every five seconds: holders that are none are removed, and whoever fits goes.
-- Expects grant, is_gone; defines look.
local AUDITED = 64

--# include drop
--# include tidy

-- A slot belongs to what is on its way, or reserves while it waits for a gate that is not closed;
-- any other is a ghost's.
local function holds(id, gate)
  local event = read(event_key(id), 'o', 'st', 'g', 'l')
  if not event.o or event.st or redis.call('ZSCORE', STUCK, id) then return false end
  if event.l then
    local reserves = redis.call('SISMEMBER', reserved_key(gate), id) == 1
    return reserves and not gate_state(event.l).closed
  end
  if redis.call('ZSCORE', LEASED, member_of(id, event)) then return true end
  local at = redis.call('ZSCORE', DUE, member_of(id, event))
  return at and tonumber(at) <= now
end

local function audit(gate)
  for _, id in ipairs(redis.call('SRANDMEMBER', holders_key(gate), AUDITED)) do
    local readable, kept = pcall(holds, id, gate)
    if not (readable and kept) then
      redis.call('SREM', holders_key(gate), id)
      redis.call('SREM', pending_key(gate), id)
    end
  end
  for _, key in ipairs({pending_key(gate), reserved_key(gate)}) do
    for _, id in ipairs(redis.call('SRANDMEMBER', key, AUDITED)) do
      if redis.call('SISMEMBER', holders_key(gate), id) == 0 then redis.call('SREM', key, id) end
    end
  end
end

-- The first p of a queue, from where the last look left off: after its parallelism rose or a
-- pause ended, many of them may wait. One more than there is budget for tells where to go on.
local function look_through(gate)
  local state, line = gate_state(gate), order_key(gate)
  redis.call('HDEL', gate_key(gate), 'lk')
  local first = redis.call('ZCOUNT', line, '-inf', '(' .. state.lk)
  local last = math.min(state.p, first + budget + 1) - 1
  local ids = not state.closed and first <= last and redis.call('ZRANGE', line, first, last) or {}
  for _, id in ipairs(ids) do
    local found = try(id, gate)
    if found == nil then break end
    if not found and is_gone(id) then
      redis.call('ZREM', line, id)
      grant_turn(gate)
    end
  end
  place_gate(gate)
end

local function look(gate)
  redis.call('ZADD', DUE, now + LOOK_MS, 'g:' .. gate)
  if is_queue(gate) then
    drop(gate, AUDITED)
    return look_through(gate)
  end
  audit(gate)
  keep_gate(gate)
  grant(gate)
  if string.sub(gate, 1, 2) == 'd:' then tidy(gate) end
  place_gate(gate)
end
