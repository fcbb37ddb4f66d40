-- Accepts new events: record, index, then `due`. Atomic, so that an answer means "stored".
-- KEYS[1] prefix
-- ARGV: now; then 11 per event: id, nonce, owner, 'at' or 'in', ms (absolute or from now),
--   '1' if it must lie in the future, deadline of an attempt in ms,
--   what to send ('' if it was written beforehand under the nonce, to expire unless kept here),
--   '1' if its owner's journal tells of it, mark and how long it holds (`mark`)
-- Returns per event {code, wanted ms, created ms, id}; code ok, taken (the id belongs to
--   another nonce), past, full, nobody (what to send has expired), double (the mark is held:
--   id is what stands there).
-- May run twice: an id that bears the same nonce is answered as the first time.
local WIDTH = 11

--# include new
--# include mark

local full, owners = redis.call('EXISTS', P .. 'full') == 1, {}

-- An id that is in use: by this very creation, done before, or by another.
local function known_as(id, nonce)
  local event = read(event_key(id), 'x', 'at', 'w', 'c')
  if event.x == nonce then return {'ok', event.w or event.at, event.c, id} end
end

local function accept(id, nonce, owner, kind, ms, future, deadline, content, journal, mark, hold)
  local taken = redis.call('EXISTS', event_key(id)) == 1
  local before = taken and known_as(id, nonce)
  if before then return before end
  local holder = mark_holder(owner, mark)
  if holder then return {'double', 0, 0, holder} end
  if taken then return {'taken', 0, 0, id} end
  if full then return {'full', 0, 0, id} end
  local at = tonumber(ms)
  if kind == 'in' then at = now + at end
  if future == '1' and at <= now then return {'past', at, now, id} end
  local revision = keep_content(id, nonce, content)
  if not revision then return {'nobody', at, now, id} end
  owners[owner] = true
  put_new(id, owner, nonce, at, deadline, journal, revision)
  put_mark(owner, mark, hold, id, event_key(id))
  return {'ok', at, now, id}
end

local answers = {}
for i = 2, #ARGV, WIDTH do answers[#answers + 1] = accept(unpack(ARGV, i, i + WIDTH - 1)) end
for owner in pairs(owners) do redis.call('SADD', P .. 'owners', owner) end
place_new()
return answers
