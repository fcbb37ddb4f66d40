-- Part of create, settle and claim: a new event enters its queue, and brings limits to its gates.
-- Expects gates.

--# include gates

-- What the gate is called by its owner, if it bears a name of theirs.
local function name_of(gate, owner)
  local prefix = string.sub(gate, 1, 2) .. owner .. ':'
  if string.sub(gate, 1, #prefix) == prefix then return string.sub(gate, #prefix + 1) end
end

-- The order of a queue is that of acceptance; a new queue goes on from what is left of an old.
local function next_number(gate)
  local number = redis.call('HINCRBY', gate_key(gate), 'seq', 1)
  if number > 1 then return number end
  local last = redis.call('ZRANGE', order_key(gate), -1, -1, 'WITHSCORES')[2]
  return redis.call('HINCRBY', gate_key(gate), 'seq', math.floor(tonumber(last or 0)))
end

local function enter_queue(id, owner, gate, p)
  local key, name = gate_key(gate), name_of(gate, owner)
  if redis.call('HSETNX', key, 'c', now) == 1 then
    redis.call('HSETNX', key, 'p', tonumber(p) or 1)
    redis.call('HSET', key, 'u', now)
    if name then redis.call('ZADD', queues_key(owner), now, name) end
  end
  redis.call('ZADD', order_key(gate), next_number(gate), id)
end

local function set_or_drop(key, field, is, wanted)
  if (is or '') == wanted then return false end
  if wanted == '' then redis.call('HDEL', key, field)
  else redis.call('HSET', key, field, wanted) end
  return true
end

-- The limits of the latest event hold, unless they are pinned; without events they are
-- forgotten in the end, unless somebody pinned or paused them.
local function bring_limits(owner, gate, p, r, t, at)
  local key, name = gate_key(gate), name_of(gate, owner)
  local state = read(key, 'c', 'p', 'r', 't', 'pp', 'pr', 'pz')
  local new = not state.pp and set_or_drop(key, 'p', state.p, p)
  new = not state.pr and set_or_drop(key, 'r', state.r, r) or new
  new = not state.pr and set_or_drop(key, 't', state.t, r ~= '' and t or '') or new
  local left = math.max(0, at - now) + 14 * DAY_MS
  if not state.c then
    redis.call('HSET', key, 'c', now)
    redis.call('PEXPIRE', key, left)
  elseif not (state.pp or state.pr or state.pz) then
    keep_gate(gate, left)
  end
  if new and name and string.sub(gate, 1, 1) == 'f' then
    redis.call('ZADD', flows_key(owner), now, name)
  end
  if new and redis.call('EXISTS', waiters_key(gate)) == 1 then look_at(gate, now) end
end

-- Gates come as words in the order of their checks, each with the limits that it brings:
-- `<gate>,p,r,t`, and maybe how many of its kind there may be (`room`). Answers their names.
local function bind(id, owner, words, at)
  local names = {}
  for word in string.gmatch(words, '%S+') do
    local gate, p, r, t = string.match(word, '^([^,]+),(%d*),(%d*),(%d*),?%d*$')
    if is_queue(gate) then enter_queue(id, owner, gate, p)
    else bring_limits(owner, gate, p, r, t, at) end
    names[#names + 1] = gate
  end
  return table.concat(names, ' ')
end
