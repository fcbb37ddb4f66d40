-- Part of create, run and schedule_put: what a repeated request is recognised by.
-- Expects nothing; a mark is '' if there is none, `hold` the ms that it holds and, behind a
-- blank, the digest of the request, if the mark is to outlive what it names.

local function mark_holder(owner, mark)
  return mark ~= '' and redis.call('GET', mark_key(owner, mark))
end

-- Marks what has just been stored under `key`, whose record names the marks that go with it.
local function put_mark(owner, mark, hold, id, key)
  if mark == '' then return end
  local ms, digest = string.match(hold, '^(%d+) ?(%S*)$')
  local held = id
  if digest ~= '' then held = string.format('%s %.0f %s', id, now, digest) end
  redis.call('SET', mark_key(owner, mark), held, 'PX', ms)
  if digest == '' then redis.call('HSET', key, 'm', mark) end
end
