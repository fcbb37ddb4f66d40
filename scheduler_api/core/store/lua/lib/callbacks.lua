-- Creates callbacks. A callback is an event that reports the end of an attempt of another event,
-- the parent.
local GATE = records.GATE

-- The number of arguments per callback. The arguments are: id, nonce, delay in ms, time limit of an
-- attempt in ms, content, destination, host. The content is '' if the caller wrote it before the
-- call, to the key that contains the nonce.
callbacks.WIDTH = 7

-- Binds a callback to gates. Returns the names of the gates, and '1' if the callback is in a queue.
--
-- If the parent is in a queue, the callback enters the same queue with the number of the parent.
-- The callback need not wait for its turn, but the next event of the queue waits for the callback.
-- Operator limits on destinations and hosts apply to the destination and host of the callback. The
-- flow-control key of the parent does not apply to the callback, nor does the line of its tenant.
local function gates_after(ctx, parent_id, parent, id, destination, host)
  local names, number = {}, nil
  for _, gate in ipairs(gates.of(parent)) do
    local kind = string.sub(gate, 1, 1)
    if kind == 'q' then
      number = redis.call('ZSCORE', keys.order(ctx, gate), parent_id)
      if number then redis.call('ZADD', keys.order(ctx, gate), number, id) end
      names[#names + 1] = number and gate or nil
    elseif kind == 'd' or kind == 'h' then
      local own = kind == 'd' and gates.of_origin(parent.owner, destination) or 'h:' .. host
      local cap = redis.call('HGET', keys.gate(ctx, gate), GATE.parallelism)
      if cap and destination ~= '' then
        local encoded = string.format('%s,%s,,', own, cap)
        names[#names + 1] = gate_binding.bind(ctx, id, parent.owner, encoded, ctx.now)
      end
    elseif kind ~= 'f' and not gates.is_slow_gate(gate) then
      names[#names + 1] = gate
    end
  end
  return names[1] and table.concat(names, ' '), number and '1' or nil
end

-- Creates the callback whose arguments start at `at`. Does nothing if an event with the callback's
-- id exists. The id is derived from the parent's id, so a repeated call creates no second callback.
function callbacks.create(ctx, parent_id, parent, at)
  local id, nonce, delay, deadline, content, destination, host = unpack(ctx.args, at, at + 6)
  if redis.call('EXISTS', keys.event(ctx, id)) == 1 then return end
  local revision = new_events.keep_content(ctx, id, nonce, content)
  if not revision then error('the content of ' .. id .. ' has expired', 0) end
  local event = {owner = parent.owner, nonce = nonce, due_ms = ctx.now + tonumber(delay),
    deadline_ms = deadline, journaled = parent.journaled, body_revision = revision,
    destination = destination}
  event.gates, event.turn_exempt = gates_after(ctx, parent_id, parent, id, destination, host)
  local batch = new_events.batch()
  new_events.record(ctx, batch, id, event)
  new_events.place(ctx, batch)
end
