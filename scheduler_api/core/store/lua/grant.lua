-- Part of lift: lets an event through all of its gates or has it wait at the first that
-- does not open; and what happens when slots come free. Expects gates, admit.
-- All slots are taken together, and nothing is held in front of a closed gate.
local GRANTS, budget = 16, 200
local ADMITTED = {'o', 'at', 'w', 'st', 'g', 'l', 'ps', 'qx'}

--# include reserve

-- Whether an event may go, holding its slots; if not it stands in a line.
local function admit(id, event)
  local wanted, held, missing, first = first_wanted(event), {}, {}, nil
  for _, gate in ipairs(gates_of(event)) do
    local queue, state = is_queue(gate), gate_state(gate)
    if queue and not queue_lets(id, event, gate, state) or not queue and state.closed then
      wait_at(id, event, gate)
      free(id, event)
      return false
    end
    if not queue and redis.call('SISMEMBER', holders_key(gate), id) == 1 then
      held[#held + 1] = gate
    elseif not queue then
      missing[#missing + 1] = {gate, state}
      local shut = first or older_waits(gate, id, wanted) or opening(gate, state) > now
      if shut and not first then first = #missing end
    end
  end
  if first then
    give_back(id, held)
    reserve(id, event, missing, first)
    wait_at(id, event, missing[first][1])
    return false
  end
  for _, each in ipairs(missing) do hold(id, unpack(each)) end
  unreserve(id, event)
  return true
end

--# include let_in
