-- Part of clear and replay: a dead letter is one no more, and its event ended another way.
-- Expects nothing.

-- The record of an owner's dead letter, its numbers read before anything is written.
local function dead_letter(id, owner)
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'st', 'fin')
  if event.o ~= owner or event.st ~= 'dead' then return nil end
  event.wanted, event.ended = first_wanted(event), whole(event, 'fin')
  return event
end

-- `name` is that of the change.
local function make_cleared(id, event, name)
  redis.call('HSET', event_key(id), 'st', 'cleared', 'u', now, 'ch', name)
  redis.call('ZADD', finished_key(event.o, 'cleared'), event.ended, id)
  redis.call('ZREM', finished_key(event.o, 'dead'), id)
  if event.s then return end
  redis.call('ZADD', by_time_key(event.o, 'cleared'), event.wanted, id)
  redis.call('ZREM', by_time_key(event.o, 'dead'), id)
end
