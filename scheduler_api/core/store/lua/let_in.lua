-- Part of lift: who is next goes when slots come free. Expects admit; defines grant, grant_freed.

-- Whether somebody was there who waited for this gate, and could be read.
local function let_in(id, gate)
  local event = read(event_key(id), unpack(ADMITTED))
  if event.l ~= gate or event.st then return false end
  if admit(id, event) then
    put_due('~' .. id, whole(event, 'at'))
    leave_line(id, event)
  end
  return true
end

-- No more this time: looks at the gate go on at once, at a queue from this one on.
local function go_on(id, gate)
  look_at(gate, now)
  if not is_queue(gate) then return end
  local number = tonumber(redis.call('ZSCORE', order_key(gate), id) or 1)
  local from = gate_state(gate).lk
  if from == 0 or number < from then redis.call('HSET', gate_key(gate), 'lk', number) end
end

local function try(id, gate)
  if budget <= 0 then return go_on(id, gate) end
  budget = budget - 1
  local ok, answer = pcall(let_in, id, gate)
  if not ok then set_aside(id, answer) end
  return ok and answer
end

-- Whoever has ended, or cannot be read, holds up nobody.
local function is_gone(id)
  local event = read(event_key(id), 'o', 'st')
  return not event.o or event.st or redis.call('ZSCORE', STUCK, id)
end

-- One left a queue: now one more may go, the one that came to stand at rank p - 1.
local function grant_turn(gate)
  local state = gate_state(gate)
  while not state.closed do
    local id = redis.call('ZRANGE', order_key(gate), state.p - 1, state.p - 1)[1]
    if not id or try(id, gate) ~= false or not is_gone(id) then return end
    redis.call('ZREM', order_key(gate), id)
  end
end

local function grant(gate)
  if is_queue(gate) then grant_turn(gate) return place_gate(gate) end
  for _ = 1, GRANTS do
    local state = gate_state(gate)
    if state.closed or opening(gate, state) > now then break end
    local id = redis.call('ZRANGE', waiters_key(gate), 0, 0)[1]
    local found = id and try(id, gate)
    if found == nil then break end
    if not found then redis.call('ZREM', waiters_key(gate), id) end
  end
  place_gate(gate)
end

-- Reservations given back on the way are seen to at the next look.
local function grant_freed()
  local gates = freed
  freed = {}
  for _, gate in ipairs(gates) do
    local ok, problem = pcall(grant, gate)
    if not ok then set_aside('g:' .. gate, problem) end
  end
  for _, gate in ipairs(freed) do look_at(gate, now) end
  freed = {}
end
