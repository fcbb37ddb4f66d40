-- Part of settle: the events that an attempt brings about. Expects new; defines follow.

-- A callback stands in the queue where its parent does, and goes through the caps of operators.
local function gates_after(parent_id, parent, id, destination, host)
  local words, number = {}, nil
  for _, gate in ipairs(gates_of(parent)) do
    local kind, cap = string.sub(gate, 1, 1), nil
    if kind == 'q' then
      number = redis.call('ZSCORE', order_key(gate), parent_id)
      if number then redis.call('ZADD', order_key(gate), number, id) end
      words[#words + 1] = number and gate or nil
    elseif kind == 'd' or kind == 'h' then
      local own = kind == 'd' and destination_gate(parent.o, destination) or 'h:' .. host
      cap = redis.call('HGET', gate_key(gate), 'p')
      if cap and destination ~= '' then
        words[#words + 1] = bind(id, parent.o, string.format('%s,%s,,', own, cap), now)
      end
    elseif kind ~= 'f' then
      words[#words + 1] = gate
    end
  end
  return words[1] and table.concat(words, ' '), number and 1 or nil
end

-- Callbacks get ids derived from their parent's, so making one twice is harmless.
local function follow(parent_id, parent, id, nonce, delay, deadline, content, destination, host)
  if redis.call('EXISTS', event_key(id)) == 1 then return end
  local at, revision = now + tonumber(delay), keep_content(id, nonce, content)
  if not revision then error('what ' .. id .. ' sends has expired', 0) end
  local more = {d = destination}
  more.g, more.qx = gates_after(parent_id, parent, id, destination, host)
  put_new(id, parent.o, nonce, at, deadline, parent.j or '', revision, more)
  place_new()
end
