-- Deletes a queue: from now on it is not known, and what stands in it is dropped, by this
-- script and its repeats; should they stop on the way, by claims.
-- KEYS[1] prefix
-- ARGV: now, gate, owner, its name, how many to drop now, name of this deletion
-- Returns {1 if it was there, how many were dropped, 1 while there are more}
-- A repeat under the same name goes on where the first one stopped: what was accepted meanwhile
-- is of a new queue.
local gate, owner, name, most = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local key, begun = gate_key(gate), given_key(ARGV[6])

--# include drop

local known_queue = redis.call('HEXISTS', key, 'c')
if known_queue == 1 and redis.call('EXISTS', begun) == 0 then
  look_at(gate, now + LOOK_MS)
  redis.call('HSET', key, 'dp', redis.call('HGET', key, 'seq') or 0)
  redis.call('HDEL', key, 'c', 'p', 'pz', 'lk')
  redis.call('ZREM', queues_key(owner), name)
end
redis.call('SET', begun, gate, 'PX', 60000)
local done, all = drop(gate, most)
if all and redis.call('HEXISTS', key, 'c') == 1 then look_at(gate, now)
elseif all then redis.call('DEL', key) end
return {known_queue, done, all and 0 or 1}
