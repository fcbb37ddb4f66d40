-- Part of accept and gate_set: how many queues or flow-control keys an owner may have.
-- Expects gates; defines has_room, without_room.

-- Whether a gate is there already or may be made; `most` 0 is no limit.
local function has_room(owner, gate, most)
  if most == 0 or redis.call('EXISTS', gate_key(gate)) == 1 then return true end
  return redis.call('ZCARD', is_queue(gate) and queues_key(owner) or flows_key(owner)) < most
end

-- The first of an event's gates (`bind`) that its owner has no room for.
local function without_room(owner, words)
  for word in string.gmatch(words, '%S+') do
    local gate, most = string.match(word, '^([^,]+),%d*,%d*,%d*,(%d+)$')
    if gate and not has_room(owner, gate, tonumber(most)) then return gate end
  end
end
