-- Part of lift: the slots of an event, and its place in a line. Expects gates,
-- first_wanted; fills freed (gates that lost a holder).

--# include place
local freed = {}

local function free_slot(id, gate, reserves)
  if redis.call('SREM', holders_key(gate), id) == 1 then freed[#freed + 1] = gate end
  redis.call('SREM', pending_key(gate), id)
  if reserves then redis.call('SREM', reserved_key(gate), id) end
end

-- Gives back slots and reservations. A gate that cannot be read must not keep the event.
local function free(id, event)
  for _, gate in ipairs(gates_of(event)) do
    if not is_queue(gate) then pcall(free_slot, id, gate, event.ps) end
  end
  if event.ps then redis.call('HDEL', event_key(id), 'ps') end
  event.ps = nil
end

local function leave_line(id, event)
  if not event.l then return end
  if not is_queue(event.l) then redis.call('ZREM', waiters_key(event.l), id) end
  redis.call('HDEL', event_key(id), 'l')
  event.l = nil
end

-- The line becomes its place (that of a queue holds it anyway); then it leaves the others.
local function wait_at(id, event, gate)
  if not is_queue(gate) then redis.call('ZADD', waiters_key(gate), first_wanted(event), id) end
  if event.l and event.l ~= gate and not is_queue(event.l) then
    redis.call('ZREM', waiters_key(event.l), id)
  end
  redis.call('HSET', event_key(id), 'l', gate)
  event.l = gate
  place_gate(gate)
  redis.call('ZREM', DUE, '~' .. id)
  redis.call('ZREM', LEASED, '~' .. id)
end

local function older_waits(gate, id, wanted)
  local head = redis.call('ZRANGE', waiters_key(gate), 0, 0, 'WITHSCORES')
  if not head[1] or head[1] == id then return false end
  local at = tonumber(head[2])
  return at < wanted or (at == wanted and head[1] < id)
end

-- Callbacks bear their parent's number and do not wait: the next message waits for them.
local function queue_lets(id, event, gate, state)
  if event.qx then return true end
  if state.closed then return false end
  local number = redis.call('ZSCORE', order_key(gate), id)
  if not number then return true end
  return redis.call('ZCOUNT', order_key(gate), '-inf', '(' .. number) < state.p
end

local function hold(id, gate, state)
  redis.call('SADD', holders_key(gate), id)
  if state.r then redis.call('SADD', pending_key(gate), id) end
end
