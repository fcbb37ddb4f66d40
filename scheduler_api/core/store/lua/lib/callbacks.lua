-- The events that an attempt brings about.
local GATE = records.GATE

-- The arguments that describe one, in this order: id, nonce, delay ms, deadline of an attempt ms,
-- content ('' if it was written under the nonce before the call), destination, host.
callbacks.WIDTH = 7

-- A callback stands in its parent's queue at its parent's number, and passes the caps of operators.
-- Returns the names of its gates and '1' if it is exempt from waiting for its turn.
local function gates_after(ctx, parent_id, parent, id, destination, host)
  local names, number = {}, nil
  for _, gate in ipairs(gates.of(parent)) do
    local kind = string.sub(gate, 1, 1)
    if kind == 'q' then
      number = redis.call('ZSCORE', keys.order(ctx, gate), parent_id)
      if number then redis.call('ZADD', keys.order(ctx, gate), number, id) end
      names[#names + 1] = number and gate or nil
    elseif kind == 'd' or kind == 'h' then
      local own = kind == 'd' and gates.of_destination(parent.owner, destination) or 'h:' .. host
      local cap = redis.call('HGET', keys.gate(ctx, gate), GATE.parallelism)
      if cap and destination ~= '' then
        local words = string.format('%s,%s,,', own, cap)
        names[#names + 1] = gate_binding.bind(ctx, id, parent.owner, words, ctx.now)
      end
    elseif kind ~= 'f' then
      names[#names + 1] = gate
    end
  end
  return names[1] and table.concat(names, ' '), number and '1' or nil
end

-- Creates the callback that stands in args from `at`. Its id derives from its parent's, so creating
-- it twice is harmless.
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
