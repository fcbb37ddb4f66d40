-- Part of claim and gate_set: a gate that somebody waits at is looked at when it may open, else
-- every five seconds: holders that are none are removed, and whoever fits goes.
-- Expects grant, is_gone, drop; defines look.
local AUDITED = 64

--# include tidy

-- A slot belongs to what is on its way, or reserves while it waits; any other is a ghost's.
local function holds(id, gate)
  local event = read(event_key(id), 'o', 'st', 'g', 'l')
  if not event.o or event.st or redis.call('ZSCORE', STUCK, id) then return false end
  if event.l then return redis.call('HGET', gate_key(gate), 'res') == id end
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
  for _, id in ipairs(redis.call('SRANDMEMBER', pending_key(gate), AUDITED)) do
    if redis.call('SISMEMBER', holders_key(gate), id) == 0 then
      redis.call('SREM', pending_key(gate), id)
    end
  end
  local reserving = redis.call('HGET', gate_key(gate), 'res')
  if reserving and redis.call('SISMEMBER', holders_key(gate), reserving) == 0 then
    redis.call('HDEL', gate_key(gate), 'res')
  end
end

-- The first p of a queue, some at a time: after its parallelism rose or a pause ended, many of
-- them may wait.
local function look_through(gate)
  local state = gate_state(gate)
  local from = whole(read(gate_key(gate), 'lk'), 'lk', 0)
  local most = math.min(state.p - from, budget)
  local ids = most > 0 and redis.call('ZRANGE', order_key(gate), from, from + most - 1) or {}
  for _, id in ipairs(ids) do
    if try(id, gate) == false and is_gone(id) then
      redis.call('ZREM', order_key(gate), id)
      grant_turn(gate)
    end
  end
  local more = #ids > 0 and #ids == most and from + most < state.p
  if redis.call('EXISTS', gate_key(gate)) == 1 then
    redis.call('HSET', gate_key(gate), 'lk', more and from + most or 0)
  end
  place_gate(gate)
  if more then look_at(gate, now) end
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
