-- Part of begin: what a worker is told of an event that it has begun. Expects most, share;
-- defines answer.

local function content_key(id, event)
  if event.s then return template_key(event.s, event.rv) end
  return body_key(id, event.b)
end

local function answer(id, event, attempt)
  local key = content_key(id, event)
  local content = redis.call('GETRANGE', key, 0, most)
  if #content > most then content = '' end
  local left = event['end'] and whole(event, 'end') - now or ''
  return {id, 'begun', attempt, whole(event, 'fl', 0), whole(event, 'in', 0),
    first_wanted(event), whole(event, 'c'), whole(event, 'dl'), event.o, key, content,
    event.s or '', event.to or '', is_watched(event.to) and '1' or '', left}
end
