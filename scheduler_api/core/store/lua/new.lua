-- Part of create and settle: the record, index and place of a new event.
-- Expects nothing; what `put_new` was called for stands nowhere before `place_new`.
local new_due, new_active = {}, {}

--# include bind

-- Keeps what is to be sent: inline content, or what was written beforehand under a revision.
-- Answers the body's revision, nil if what was written beforehand has expired.
local function keep_content(id, revision, content)
  if content ~= '' then
    redis.call('SET', body_key(id), content)
    return ''
  end
  if redis.call('PERSIST', body_key(id, revision)) == 1 then return revision end
end

-- `more` holds the fields that not every event has.
local function put_new(id, owner, nonce, at, deadline, journal, revision, more)
  local optional, member = {}, id
  for field, value in pairs({b = revision, j = journal, g = more.g, qx = more.qx, d = more.d,
    ['end'] = more['end']}) do
    if value ~= '' then optional[#optional + 1], optional[#optional + 2] = field, value end
  end
  if more.g then member = member_of(id, more) end
  redis.call('HSET', event_key(id), 'f', 1, 'o', owner, 'x', nonce, 'c', now, 'at', at,
    'dl', deadline, unpack(optional))
  if journal ~= '' then
    redis.call('XADD', journal_key(owner), '*', 'e', id, 'k', 'created', 'n', 0)
  end
  local active = new_active[owner] or {}
  new_active[owner] = active
  active[#active + 1], active[#active + 2] = at, id
  new_due[#new_due + 1], new_due[#new_due + 2] = at, member
end

-- One write for all: each command of a script costs the store as much again for its log.
local function place_new()
  if #new_due == 0 then return end
  for owner, active in pairs(new_active) do
    redis.call('ZADD', by_time_key(owner, 'active'), unpack(active))
  end
  redis.call('ZADD', DUE, unpack(new_due))
  local first = math.huge
  for i = 1, #new_due, 2 do first = math.min(first, new_due[i]) end
  wake_for(first)
  new_due, new_active = {}, {}
end
