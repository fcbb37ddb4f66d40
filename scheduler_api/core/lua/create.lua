-- Accepts new events: record, index, then `due`. Atomic, so that an answer means "stored".
-- KEYS[1] prefix
-- ARGV: now; then 8 per event: id, nonce, owner, 'at' or 'in', ms (absolute or from now),
--   '1' if it must lie in the future, deadline of an attempt in ms,
--   what to send ('' if it was written beforehand under the nonce, to expire unless kept here)
-- Returns per event {code, wanted ms, created ms}; code ok, taken (the id belongs to another
--   nonce), past, full, nobody (what to send has expired).
-- May run twice: an id that bears the same nonce is answered as the first time.
local WIDTH = 8

local function accept(id, nonce, owner, kind, ms, future, deadline, content)
  local key = event_key(id)
  local known = read(key, 'x', 'at', 'w', 'c')
  if known.x == nonce then return {'ok', known.w or known.at, known.c} end
  if known.x or redis.call('EXISTS', key) == 1 then return {'taken', 0, 0} end
  if redis.call('EXISTS', P .. 'full') == 1 then return {'full', 0, 0} end
  local at = tonumber(ms)
  if kind == 'in' then at = now + at end
  if future == '1' and at <= now then return {'past', at, now} end
  if content ~= '' then
    redis.call('SET', body_key(id), content)
  elseif redis.call('PERSIST', body_key(id, nonce)) == 1 then
    redis.call('HSET', key, 'b', nonce)
  else
    return {'nobody', at, now}
  end
  redis.call('HSET', key, 'f', 1, 'o', owner, 'x', nonce, 'c', now, 'at', at, 'dl', deadline)
  redis.call('SADD', P .. 'owners', owner)
  redis.call('ZADD', by_time_key(owner, 'active'), at, id)
  redis.call('ZADD', DUE, at, id)
  wake_for(at)
  return {'ok', at, now}
end

local answers = {}
for i = 2, #ARGV, WIDTH do answers[#answers + 1] = accept(unpack(ARGV, i, i + WIDTH - 1)) end
return answers
