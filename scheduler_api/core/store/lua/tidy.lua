-- Part of look. Expects gates; defines tidy.
local IDLE_MS = 600000

-- A gate of a destination that is there for a while only goes with the last who waited; all of
-- it, if nothing but the time of its making is left.
local function tidy(gate)
  local state = gate_state(gate)
  if state.pz or redis.call('EXISTS', waiters_key(gate)) == 1 then return end
  if state.br and now - (state.sh or 0) < IDLE_MS then return end
  redis.call('HDEL', gate_key(gate), 'br', 'bk', 'sh', 'rp', 'rr', 'og')
  redis.call('HDEL', SHUT, gate)
  if redis.call('HLEN', gate_key(gate)) == 1 then redis.call('DEL', gate_key(gate)) end
end
