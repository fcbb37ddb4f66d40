-- Part of begin: a begin counts for a period in each rate, and tells when the next may go.
-- Expects gates, place_gate; defines charge, look_at_rates.

local rates = {}

local function charge(id, event)
  for _, gate in ipairs(gates_of(event)) do
    local state = is_queue(gate) and {} or gate_state(gate)
    if state.r then
      local key = begins_key(gate)
      redis.call('RPUSH', key, string.format('%.0f', now))
      redis.call('LTRIM', key, -state.r, -1)
      redis.call('PEXPIRE', key, state.t + JITTER_MS + 1000)
      redis.call('SREM', pending_key(gate), id)
      rates[gate] = true
    end
    if not is_queue(gate) then keep_gate(gate) end
  end
end

local function look_at_rates()
  grant_freed()
  for gate in pairs(rates) do pcall(place_gate, gate) end
end
