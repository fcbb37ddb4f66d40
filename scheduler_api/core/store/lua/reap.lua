-- Part of claim: ends leases that are over. An offered event goes back to `due` at its old
-- score, with the slots that it holds; a begun one was interrupted: its token stays valid for a
-- late settle only.
-- Expects quiet (ms); fills interrupted (ids).
local POISON, ALONE = 5, 2

local function interrupt(id, event)
  local count, at, number = whole(event, 'in', 0) + 1, whole(event, 'at'), whole(event, 'n')
  local began = whole(event, 'un') - whole(event, 'dl') - 10000
  local line = '{"started_ms":' .. string.format('%.0f', began) .. '}'
  interrupted[#interrupted + 1] = id
  tell(event, id, 'failed', number)
  if count >= POISON or event.cr then
    log_attempt(id, number, 'i', 0, line)
    if event.cr then return finish(id, event, 'cancelled') end
    return finish(id, event, 'dead', 'poison')
  end
  log_attempt(id, number, 'i', now, line)
  redis.call('HSET', event_key(id), 'ptok', event.tok, 'in', count, 'u', now)
  redis.call('HDEL', event_key(id), 'tok', 'un')
  if count >= ALONE then
    redis.call('SADD', SOLO, id)
    alone_exist = true
  end
  put_due(member_of(id, event), at)
  free(id, event)
  -- It keeps its turn: what it has just freed is its own, if it may begin again so soon.
  local goes = not event.g or admit(id, event)
  -- Deaths in a rhythm that leases share would meet it each time: it goes out of step.
  if goes and count >= ALONE then hold_back({member_of(id, event)}) end
  grant_freed()
end

local function reap(member)
  local id = string.gsub(member, '^~', '')
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'st', 'tok', 'n', 'in', 'un', 'dl',
    'j', 'cr', 'nx', 'g', 'l', 'ps', 'qx')
  if not known(event_key(id), event) or event.st then
    redis.call('ZREM', LEASED, member)
    return lift(id, event)
  end
  if not event.tok then return put_due(member, whole(event, 'at')) end
  if quiet > now then return redis.call('ZADD', LEASED, quiet, member) end
  interrupt(id, event)
end
