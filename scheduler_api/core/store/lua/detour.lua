-- Part of begin: how an event comes to wait before its destination. Expects admit; defines
-- go_through, turn_away.
local RAMP_PER_S = 16

-- From now on the event goes through the gate as well, in its order among the others.
local function go_through(id, event, gate)
  local gates, rest = {}, {}
  for _, each in ipairs(gates_of(event)) do
    if each == gate then return end
    local list = string.find(each, '^[qf]') and gates or rest
    list[#list + 1] = each
  end
  gates[#gates + 1] = gate
  for _, each in ipairs(rest) do gates[#gates + 1] = each end
  local score = not event.g and redis.call('ZSCORE', LEASED, id)
  event.g = table.concat(gates, ' ')
  redis.call('HSET', event_key(id), 'g', event.g)
  if not score then return end
  redis.call('ZADD', LEASED, score, '~' .. id)
  redis.call('ZREM', LEASED, id)
end

-- More than its share of this worker: its line forms, and empties at a rate that begins anew
-- whenever somebody is turned away who was let through; that of a paused one just grows.
local function turn_away(id, event, gate)
  if redis.call('SISMEMBER', holders_key(gate), id) == 1 then
    redis.call('RPUSH', begins_key(gate), string.format('%.0f', now))
    redis.call('PEXPIRE', begins_key(gate), 2000)
  end
  if redis.call('HEXISTS', gate_key(gate), 'pz') == 0 then
    shut_gate(gate, now, 'rp', now, 'rr', RAMP_PER_S)
  end
  wait_at(id, event, gate)
  free(id, event)
end
