-- Part of admit: where a gate itself stands. Expects gates; defines place_gate.

-- Where the gate itself stands: in `due` while a look is awaited, unless a person paused it.
local function place_gate(gate)
  local state, queue = gate_state(gate), is_queue(gate)
  local waiting = state.dp
    or queue and (state.lk > 0 or redis.call('ZCARD', order_key(gate)) > state.p)
    or not queue and redis.call('EXISTS', waiters_key(gate)) == 1
  local awaited = waiting or state.br or state.rp or state.og
  if state.pz or not awaited then return look_no_more(gate) end
  if state.closed then return look_at(gate, state.sh or now + LOOK_MS) end
  if queue then return look_at(gate, state.lk > 0 and now or now + LOOK_MS) end
  look_at(gate, waiting and opening(gate, state) or now + LOOK_MS)
end
