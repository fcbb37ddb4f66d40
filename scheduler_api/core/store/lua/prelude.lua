-- Put before every script at load: names, clock, and the moves that keep the invariant.
-- KEYS[1] = prefix; ARGV[1] = now in ms, or '' for the server's clock (only tests give it).
--
-- Everything that still has to happen stands in exactly one of `due`, `leased` or a line
-- (`parked` for paused schedules, `stuck` for what could not be read). A script that fails
-- keeps its effects, so every move writes the new place before it leaves the old one, and
-- callers handle each member under pcall.
local P = KEYS[1]
-- A full store refuses a script whose first write could grow it; this one cannot.
redis.call('DEL', P .. 'never')

local DUE, LEASED, PARKED, STUCK = P .. 'due', P .. 'leased', P .. 'parked', P .. 'stuck'
local WHY, SOLO, NEXT, LINES = P .. 'why', P .. 'solo', P .. 'next', P .. 'lines'
local SHUT, STALLED = P .. 'shut', P .. 'stalled'

local clock = redis.call('TIME')
local micros = tonumber(clock[2])
local now = tonumber(clock[1]) * 1000 + math.floor(micros / 1000)
micros = micros % 1000
if ARGV[1] ~= '' then now, micros = tonumber(ARGV[1]), 0 end

local function event_key(id) return P .. 'e:' .. id end
local function log_key(id) return P .. 'log:' .. id end
local function schedule_key(sid) return P .. 's:' .. sid end
local function template_key(sid, rev) return P .. 't:' .. sid .. ':' .. rev end
local function occurrences_key(sid) return P .. 'occ:' .. sid end
local function by_time_key(owner, state) return P .. 'ix:' .. owner .. ':' .. state end
local function finished_key(owner, state) return P .. 'fin:' .. owner .. ':' .. state end
local function term_key(owner, term) return P .. 'tm:' .. owner .. ':' .. term end
local function skipped_key(sid) return P .. 'skipped:' .. sid end
local function names_key(owner) return P .. 'names:' .. owner end
local function groups_key(owner) return P .. 'groups:' .. owner end
local function journal_key(owner) return P .. 'journal:' .. owner end
local function is_queue(gate) return string.sub(gate, 1, 2) == 'q:' end
local function destination_gate(owner, digest)
  return 'd:' .. string.match(owner, '^[^:]*') .. ':' .. digest
end
local function gate_key(gate) return P .. (is_queue(gate) and '' or 'g:') .. gate end
local function order_key(gate) return P .. 'ql:' .. string.sub(gate, 3) end
local function waiters_key(gate) return P .. 'gw:' .. gate end
local function holders_key(gate) return P .. 'gh:' .. gate end
local function reserved_key(gate) return P .. 'gr:' .. gate end
local function begins_key(gate) return P .. 'gl:' .. gate end
local function health_key(gate) return P .. 'gf:' .. gate end
local function pending_key(gate) return P .. 'gp:' .. gate end
local function queues_key(owner) return P .. 'queues:' .. owner end
local function flows_key(owner) return P .. 'flows:' .. owner end
local function mark_key(owner, mark) return P .. 'dd:' .. owner .. ':' .. mark end
local function given_key(nonce) return P .. 'given:' .. nonce end
local function told_key(worker) return P .. 'told:' .. worker end
local function body_key(id, rev)
  if rev and rev ~= '' then return P .. 'b:' .. id .. '.' .. rev end
  return P .. 'b:' .. id
end

-- HMGET as a table by field; absent fields are nil.
local function read(key, ...)
  local fields, values, record = {...}, redis.call('HMGET', key, ...), {}
  for i = 1, #fields do
    if values[i] then record[fields[i]] = values[i] end
  end
  return record
end

-- A number of a record; what is none ends the handling of its member (`set_aside`).
local function whole(record, field, default)
  local value = record[field] or default
  if not value then error(field .. ' is missing', 0) end
  if not string.find(value, '^%-?%d+$') then error(field .. ' is no number: ' .. value, 0) end
  return tonumber(value)
end

local function first_wanted(event) return whole(event, event.w and 'w' or 'at') end

-- Whether there is a record at all: one without an owner is there, but cannot be read.
local function known(key, record)
  if record.o then return true end
  if redis.call('EXISTS', key) == 1 then error('o is missing', 0) end
  return false
end

-- Tickers sleep until `next`; whatever is wanted earlier wakes them.
local function wake_for(at)
  local planned = redis.call('GET', NEXT)
  if not planned or at < tonumber(planned) then
    redis.call('SET', NEXT, string.format('%.0f', at))
    redis.call('PUBLISH', P .. 'wake', '')
  end
end

local function put_due(member, at)
  redis.call('ZADD', DUE, at, member)
  redis.call('ZREM', LEASED, member)
  wake_for(at)
end

-- When a schedule is to be looked at that is wanted at `at`: not later than right after its end.
local function first_look(record, at)
  local ends = record['end'] and whole(record, 'end')
  return ends and math.min(at, ends + 1) or at
end

-- Ends a schedule: it fires no more, unless an edit revives it.
local function end_schedule(sid)
  redis.call('HSET', schedule_key(sid), 'st', 'ended', 'u', now, 'times', '')
  redis.call('HDEL', schedule_key(sid), 'dry', 'pl')
  redis.call('ZREM', DUE, 's:' .. sid)
end

-- What pcall caught, as text: servers raise tables, Lua itself strings.
local function text(problem)
  return tostring(type(problem) == 'table' and problem.err or problem)
end

-- What a script could not read leaves the road, with the reason, so that the rest goes on.
local function set_aside(member, problem)
  local id = string.gsub(member, '^~', '')
  redis.call('ZADD', STUCK, now, id)
  redis.call('HSET', WHY, id, text(problem))
  redis.call('ZREM', DUE, id, '~' .. id)
  redis.call('ZREM', LEASED, id, '~' .. id)
end

-- As what an event with gates stands in `due` and `leased`: only the records of these are read
-- by a claim.
local function member_of(id, event) return event.g and '~' .. id or id end

-- Hands events to RQ: from `due` to `leased` for the offer lease, in one move for all.
local function offer(members, lease_ms)
  if #members == 0 then return end
  local scored = {}
  for _, member in ipairs(members) do
    scored[#scored + 1] = now + lease_ms
    scored[#scored + 1] = member
  end
  redis.call('ZADD', LEASED, unpack(scored))
  redis.call('ZREM', DUE, unpack(members))
end

local alone_exist

-- Whether anything travels alone: nearly never, so it is asked once for a call.
local function any_alone()
  if alone_exist == nil then alone_exist = redis.call('EXISTS', SOLO) == 1 end
  return alone_exist
end

-- Offered to nobody for a moment: of what travels alone only one goes at a time, and many of
-- them shall hold up neither what else is due nor RQ.
local function hold_back(members) offer(members, 200) end

-- One line in the owner's journal, for events that want it: what happened, at which attempt.
local function tell(event, id, kind, number)
  if not event.j then return end
  redis.call('XADD', journal_key(event.o), '*', 'e', id, 'k', kind, 'n', number or 0)
end

-- What failed or was withdrawn may be said again: its mark goes with it.
local function release_mark(owner, id, key)
  local mark = redis.call('HGET', key, 'm')
  if not mark then return end
  local held = mark_key(owner, mark)
  if redis.call('GET', held) == id then redis.call('DEL', held) end
end

-- One line of an attempt's log; `next_at` 0 when none follows.
local function log_attempt(id, number, kind, next_at, line)
  redis.call('HSET', log_key(id), number,
    string.format('%s %.0f %.0f %s', kind, now, next_at, line))
end
