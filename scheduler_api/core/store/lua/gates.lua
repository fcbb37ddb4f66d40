-- Part of lift and bind: what a gate is, how it stands, and when it next lets somebody through.
-- Expects names, now, read, whole, wake_for.
--
-- A gate is named by its kind and owner: q: a queue, f: a flow-control key, d: a destination, h: a
-- host, t: a tenant, a: everything. An event names its gates (`g`), in the order of their checks. A
-- queue has no slots: its line holds all of its unfinished events in the order of acceptance, and
-- the first p may go. Any other has holders (event ids), a line of waiters by the time they were
-- first wanted, and for a rate the begins of a period and who was let through but not begun.
local LOOK_MS, JITTER_MS = 5000, 20
local RAMP_DOUBLES_MS, RAMP_MOST, DAY_MS = 2000, 1000, 86400000

local function gates_of(event)
  local gates = {}
  for gate in string.gmatch(event.g or '', '%S+') do gates[#gates + 1] = gate end
  return gates
end

-- Limits as they hold now. While a breaker is half open one probe goes at a time; a ramp is a
-- rate that doubles every two seconds.
local function gate_state(gate)
  local state = read(gate_key(gate), 'p', 'r', 't', 'pz', 'sh', 'br', 'rp', 'rr',
    'dp', 'og', 'lk')
  for _, field in ipairs({'p', 'r', 't', 'sh', 'rp', 'rr', 'lk'}) do
    state[field] = state[field] and whole(state, field)
  end
  if is_queue(gate) then state.p, state.lk = state.p or 1, state.lk or 0 end
  if state.br then state.p = 1 end
  if state.rp then
    local doubled = math.min(30, math.max(0, math.floor((now - state.rp) / RAMP_DOUBLES_MS)))
    state.r, state.t = math.min(RAMP_MOST, (state.rr or 1) * 2 ^ doubled), 1000
  end
  state.closed = state.pz or state.dp or (state.sh and state.sh > now)
  return state
end

-- When there is a slot: now, or later. No window of a period may see more than r begins, so what
-- was let through counts until it begins, and a begin for a period. A log from a clock that
-- was stepped back tells nothing.
local function opening(gate, state)
  if state.p and redis.call('SCARD', holders_key(gate)) >= state.p then return now + LOOK_MS end
  if not state.r then return now end
  local left = state.r - redis.call('SCARD', pending_key(gate))
  if left <= 0 then return now + LOOK_MS end
  local begun = tonumber(redis.call('LINDEX', begins_key(gate), -left) or 0)
  if begun > now then redis.call('DEL', begins_key(gate)) end
  return begun > now and now or math.max(now, begun + (state.t or 1000) + JITTER_MS)
end

-- The limits of a gate outlast the events that they hold for: by two weeks.
local function keep_gate(gate, wanted)
  local left, wanted = redis.call('PTTL', gate_key(gate)), wanted or 14 * DAY_MS
  if left >= 0 and left < wanted - 7 * DAY_MS then
    redis.call('PEXPIRE', gate_key(gate), wanted)
  end
end

-- A gate that somebody waits at stands in `due`, at its next look: no wake-up can be lost.
local function look_at(gate, at)
  local member = 'g:' .. gate
  local stands = redis.call('ZSCORE', DUE, member)
  if stands and tonumber(stands) <= at then return end
  redis.call('ZADD', DUE, at, member)
  if not stands then redis.call('SADD', LINES, gate) end
  wake_for(at)
end

local function look_no_more(gate)
  redis.call('ZREM', DUE, 'g:' .. gate)
  redis.call('SREM', LINES, gate)
end
