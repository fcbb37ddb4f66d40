-- Part of create and replay: takes one new event, with the words that create documents.
-- Expects nothing; what `accept` was called for stands nowhere before `place_accepted`.
local WIDTH = 13

--# include new
--# include mark
--# include number
--# include room

local full, owners = redis.call('EXISTS', P .. 'full') == 1, {}

-- An id that is in use: by this very creation, done before, or by another.
local function known_as(id, nonce)
  local event = read(event_key(id), 'x', 'at', 'w', 'c')
  if event.x == nonce then return {'ok', event.w or event.at, event.c, id} end
end

-- What the run of a schedule makes, `<schedule>.<second>.<endpoint>`, ends when that does.
local function end_of_maker(id)
  local run = string.match(id, '^(.+%..+)%.[^.]+$')
  return run and redis.call('HGET', event_key(run), 'end') or nil
end

local function accept(id, nonce, owner, kind, ms, future, deadline, content, journal, mark, hold,
    destination, gates)
  if id == '' then id = redis.call('GET', given_key(nonce)) or '' end
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
  local gate = without_room(owner, gates)
  if gate then return {'no_room', at, now, gate} end
  if id == '' then id = next_id(nonce) end
  local revision = keep_content(id, nonce, content)
  if not revision then return {'nobody', at, now, id} end
  owners[owner] = true
  local more = {d = destination, ['end'] = end_of_maker(id)}
  if gates ~= '' then more.g = bind(id, owner, gates, at) end
  put_new(id, owner, nonce, at, deadline, journal, revision, more)
  put_mark(owner, mark, hold, id, event_key(id))
  return {'ok', at, now, id}
end

local function place_accepted()
  for owner in pairs(owners) do redis.call('SADD', P .. 'owners', owner) end
  place_new()
end
