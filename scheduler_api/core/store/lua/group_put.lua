-- Replaces an owner's group, if it is still as it was read. Atomic: of two changes at a time
-- none is lost.
-- KEYS[1] prefix
-- ARGV: now, owner, name, record as it was read ('' if there was none), new record ('' removes),
--   how many groups there may be (0: any number)
-- Returns 1 if done, 0 if it was changed meanwhile: read again, 2 if there is no room for it.
-- May run twice: a record that is as it shall become is answered alike.
local owner, name, was, becomes = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key, most = groups_key(owner), tonumber(ARGV[6])
local record = redis.call('HGET', key, name) or ''
if record == becomes then return 1 end
if record ~= was then return 0 end
if was == '' and most > 0 and redis.call('HLEN', key) >= most then return 2 end
if becomes == '' then
  redis.call('HDEL', key, name)
else
  redis.call('SADD', P .. 'owners', owner)
  redis.call('HSET', key, name, becomes)
end
return 1
