-- Bodies that several events share. The content of such an event begins with '\3' and the name of
-- the body. The ids of these events are in a set, and the body is deleted with its last event.

-- As many bytes of content as the first byte and the name of a body have.
local SHARING, START_LENGTH = 3, 40

-- Returns the name of the shared body, or nil if the event has a body of its own. `content` is the
-- content of the event, or '' if it is stored at `key`.
local function name_in(content, key)
  if content == '' then content = redis.call('GETRANGE', key, 0, START_LENGTH) end
  return string.match(content, '^\3([%w_-]+)\n')
end

-- Keeps the shared body of a new event, and removes the TTL that it had so far. Returns false if the
-- body has expired. `content` is '' if the caller wrote it before the call.
function shared_bodies.keep(ctx, owner, id, nonce, content)
  if content ~= '' and string.byte(content) ~= SHARING then return true end
  local name = name_in(content, keys.body(ctx, id, nonce))
  if not name then return true end
  local body = keys.shared_body(ctx, owner, name)
  redis.call('PERSIST', body)
  if redis.call('EXISTS', body) == 0 then return false end
  redis.call('SADD', keys.sharers(ctx, owner, name), id)
  return true
end

-- Deletes the content of an event, and the shared body if no other event has it.
function shared_bodies.delete_content(ctx, owner, id, key)
  local name = owner and name_in('', key)
  redis.call('DEL', key)
  if not name then return end
  local sharers = keys.sharers(ctx, owner, name)
  redis.call('SREM', sharers, id)
  if redis.call('EXISTS', sharers) == 0 then
    redis.call('DEL', keys.shared_body(ctx, owner, name))
  end
end

-- Returns how many bytes the shared body of a new event adds: its length for the first event,
-- otherwise 0. `counted` has the names of the bodies that were counted before.
function shared_bodies.added_bytes(ctx, owner, content, key, counted)
  local name = name_in(content, key)
  if not name or counted[name] then return 0 end
  counted[name] = true
  if redis.call('EXISTS', keys.sharers(ctx, owner, name)) == 1 then return 0 end
  return redis.call('STRLEN', keys.shared_body(ctx, owner, name))
end

-- Returns the TTL of the shared body at which the content at `key` points, in ms. Returns nil if
-- the content has a body of its own.
function shared_bodies.ttl(ctx, owner, key)
  local ok, name = pcall(name_in, '', key)
  return ok and name and redis.call('PTTL', keys.shared_body(ctx, owner, name)) or nil
end
