-- Accepts new events: record, index, then `due`. Atomic, so that an answer means "stored".
-- KEYS[1] prefix
-- ARGV: now; then 11 per event: id, nonce, owner, 'at' or 'in', ms (absolute or from now),
--   '1' if it must lie in the future, deadline of an attempt in ms,
--   what to send ('' if it was written beforehand under the nonce, to expire unless kept here),
--   '1' if its owner's journal tells of it, deduplication mark or '', ms that the mark holds
-- Returns per event {code, wanted ms, created ms, id}; code ok, taken (the id belongs to
--   another nonce), past, full, nobody (what to send has expired), double (the mark is held:
--   id is the event that holds it).
-- May run twice: an id that bears the same nonce is answered as the first time.
local WIDTH = 11

--# include new

local function accept(id, nonce, owner, kind, ms, future, deadline, content, journal, mark, hold)
  local key = event_key(id)
  local known_event = read(key, 'x', 'at', 'w', 'c')
  if known_event.x == nonce then
    return {'ok', known_event.w or known_event.at, known_event.c, id}
  end
  local holder = mark ~= '' and redis.call('GET', mark_key(owner, mark))
  if holder then return {'double', 0, 0, holder} end
  if known_event.x or redis.call('EXISTS', key) == 1 then return {'taken', 0, 0, id} end
  if redis.call('EXISTS', P .. 'full') == 1 then return {'full', 0, 0, id} end
  local at = tonumber(ms)
  if kind == 'in' then at = now + at end
  if future == '1' and at <= now then return {'past', at, now, id} end
  local revision = keep_content(id, nonce, content)
  if not revision then return {'nobody', at, now, id} end
  redis.call('SADD', P .. 'owners', owner)
  put_new(id, owner, nonce, at, deadline, journal, revision)
  if mark ~= '' then redis.call('SET', mark_key(owner, mark), id, 'PX', hold) end
  return {'ok', at, now, id}
end

local answers = {}
for i = 2, #ARGV, WIDTH do answers[#answers + 1] = accept(unpack(ARGV, i, i + WIDTH - 1)) end
return answers
