-- Part of create and settle: the record, index and place of a new event.
-- Expects nothing; writes what its functions are called for.

-- Keeps what is to be sent: inline content, or what was written beforehand under a revision.
-- Answers the body's revision, nil if what was written beforehand has expired.
local function keep_content(id, revision, content)
  if content ~= '' then
    redis.call('SET', body_key(id), content)
    return ''
  end
  if redis.call('PERSIST', body_key(id, revision)) == 1 then return revision end
end

local function put_new(id, owner, nonce, at, deadline, journal, revision)
  redis.call('HSET', event_key(id), 'f', 1, 'o', owner, 'x', nonce, 'c', now, 'at', at,
    'dl', deadline)
  if revision ~= '' then redis.call('HSET', event_key(id), 'b', revision) end
  if journal ~= '' then redis.call('HSET', event_key(id), 'j', journal) end
  tell({o = owner, j = journal ~= '' and journal}, id, 'created')
  redis.call('ZADD', by_time_key(owner, 'active'), at, id)
  redis.call('ZADD', DUE, at, id)
  wake_for(at)
end

-- Callbacks get ids derived from their parent's, so making one twice is harmless.
local function follow(parent, id, nonce, delay, deadline, content)
  if redis.call('EXISTS', event_key(id)) == 1 then return end
  local at, revision = now + tonumber(delay), keep_content(id, nonce, content)
  if not revision then error('what ' .. id .. ' sends has expired', 0) end
  put_new(id, parent.o, nonce, at, deadline, parent.j or '', revision)
end
