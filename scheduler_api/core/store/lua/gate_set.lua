-- Changes a gate by hand: limits, pins, a pause; what it holds back goes at once if it may.
-- KEYS[1] prefix
-- ARGV: now, gate, owner, its name for its owner or '', how many of its kind there may be (0: any
--   number) to make it if there is none, '' not to make it, then fields and values ('' to drop
--   one): p, r, t, pp, pr, og as in the record; pz '1' to pause; reset '1' to forget what has
--   begun in this period
-- Returns 1, 0 if there is none, or 2 if there is no room for it. Atomic with the look at who may
-- go; a repeat changes nothing.

--# include lift
local gate, owner, name = ARGV[2], ARGV[3], ARGV[4]
local key, queue = gate_key(gate), is_queue(gate)
local of_destination = string.sub(gate, 1, 2) == 'd:'
-- While a key is kept by hand nobody notes until when events want its limits, which may be a year.
local LONGEST_DAYS = 400

--# include look
--# include room

local function change(field, value)
  if field == 'reset' then redis.call('DEL', begins_key(gate))
  elseif value == '' then redis.call('HDEL', key, field)
  elseif field == 'pz' then
    if of_destination then redis.call('HSETNX', SHUT, gate, now) end
    redis.call('HSETNX', key, 'pz', now)
  else redis.call('HSET', key, field, value) end
end

local state = read(key, 'c')
if not state.c and ARGV[5] == '' then return 0 end
if not state.c and not has_room(owner, gate, tonumber(ARGV[5])) then return 2 end
if not state.c then redis.call('HSET', key, 'c', now) end
for i = 6, #ARGV, 2 do change(ARGV[i], ARGV[i + 1]) end
state = read(key, 'pp', 'pr', 'pz')
if queue then
  redis.call('HSETNX', key, 'p', 1)
  redis.call('HSET', key, 'u', now)
  redis.call('HDEL', key, 'lk')
elseif state.pp or state.pr or state.pz then
  redis.call('PERSIST', key)
elseif redis.call('PTTL', key) < 0 then
  redis.call('PEXPIRE', key, (of_destination and 14 or LONGEST_DAYS) * DAY_MS)
end
if name ~= '' then
  redis.call('ZADD', queue and queues_key(owner) or flows_key(owner), 'NX', now, name)
end
if queue then look_through(gate) else grant(gate) end
grant_freed()
return 1
