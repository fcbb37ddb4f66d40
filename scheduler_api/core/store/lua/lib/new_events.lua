-- New events: their ids, content, record, indexes and place.
local EVENT = records.EVENT
local ISSUED_FOR_MS = 60000
local MADE = records.fields(EVENT, 'nonce', 'due_ms', 'first_due_ms', 'created_ms')
-- Fields that not every event has.
local OPTIONAL = {'body_revision', 'journaled', 'gates', 'turn_exempt', 'destination', 'end_ms'}

-- The arguments that describe one new event, in this order.
--   id: '' for the next one. kind, ms: 'at' and a time, or 'in' and a delay.
--   must_be_future: '1' or ''. deadline_ms: of an attempt.
--   content: '' if it was written under the nonce before the call; that expires unless the call
--   keeps it.
--   journaled: '1' or ''. deduplication_key, deduplication_ttl: see `deduplication`.
--   gates: see `gate_binding`.
new_events.WIDTH = 13

function new_events.item(args, at)
  return {
    id = args[at], nonce = args[at + 1], owner = args[at + 2], kind = args[at + 3],
    ms = args[at + 4], must_be_future = args[at + 5], deadline_ms = args[at + 6],
    content = args[at + 7], journaled = args[at + 8], deduplication_key = args[at + 9],
    deduplication_ttl = args[at + 10], destination = args[at + 11], gates = args[at + 12],
  }
end

-- What one call has recorded and not placed yet. One write per set places all: each command costs
-- the store as much again for its log.
function new_events.batch() return {due = {}, active = {}, owners = {}} end

local function base_36(number)
  local id = ''
  repeat
    local digit = number % 36
    id = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. id
    number = (number - digit) / 36
  until number == 0
  return id
end

-- The next free id: ids ascend in the order of creation. It is kept for a repeat of the call.
local function next_id(ctx, nonce)
  local id
  repeat id = base_36(redis.call('INCR', keys.sequence(ctx)))
  until redis.call('EXISTS', keys.event(ctx, id)) == 0
  redis.call('SET', keys.issued_id(ctx, nonce), id, 'PX', ISSUED_FOR_MS)
  return id
end

-- The id that a nonce was issued before, or ''.
function new_events.issued_id(ctx, nonce)
  return redis.call('GET', keys.issued_id(ctx, nonce)) or ''
end

-- Keeps what is to be sent. Returns the revision of the body, or nil if content that was written
-- beforehand has expired.
function new_events.keep_content(ctx, id, revision, content)
  if content ~= '' then
    redis.call('SET', keys.body(ctx, id), content)
    return ''
  end
  if redis.call('PERSIST', keys.body(ctx, id, revision)) == 1 then return revision end
end

-- Writes the record of an event; `place` must follow. A field that is '' counts as absent.
function new_events.record(ctx, batch, id, event)
  local optional, due_ms, owner = {}, event.due_ms, event.owner
  for i = 1, #OPTIONAL do
    local value = event[OPTIONAL[i]]
    if value and value ~= '' then
      optional[#optional + 1], optional[#optional + 2] = EVENT[OPTIONAL[i]], value
    end
  end
  redis.call('HSET', keys.event(ctx, id), EVENT.format, 1, EVENT.owner, owner, EVENT.nonce,
    event.nonce, EVENT.created_ms, ctx.now, EVENT.due_ms, due_ms, EVENT.deadline_ms,
    event.deadline_ms, unpack(optional))
  if event.journaled and event.journaled ~= '' then journal.append(ctx, event, id, 'created') end
  local active, placed = batch.active[owner] or {}, batch.due
  batch.active[owner] = active
  active[#active + 1], active[#active + 2] = due_ms, id
  placed[#placed + 1], placed[#placed + 2] = due_ms, due.member(id, event)
end

-- Places all recorded events; the batch is empty then.
function new_events.place(ctx, batch)
  for owner in pairs(batch.owners) do redis.call('SADD', keys.owners(ctx), owner) end
  if #batch.due == 0 then return end
  for owner, active in pairs(batch.active) do
    redis.call('ZADD', keys.by_time(ctx, owner, 'active'), unpack(active))
  end
  redis.call('ZADD', keys.due(ctx), unpack(batch.due))
  local first = math.huge
  for i = 1, #batch.due, 2 do first = math.min(first, batch.due[i]) end
  due.wake_for(ctx, first)
  batch.due, batch.active, batch.owners = {}, {}, {}
end

-- The answer for an id that this very creation used before, or nil.
function new_events.made_before(ctx, id, nonce)
  local event = records.read(keys.event(ctx, id), MADE)
  if event.nonce == nonce then
    return {'ok', event.first_due_ms or event.due_ms, event.created_ms, id}
  end
end

-- What a run of a schedule makes, `<schedule>.<second>.<endpoint>`, ends when the run does.
local function end_of_run(ctx, id)
  local run = string.match(id, '^(.+%..+)%.[^.]+$')
  return run and redis.call('HGET', keys.event(ctx, run), EVENT.end_ms) or nil
end

-- The answer to an event that stores nothing new: ok (made before), duplicate (of what id names),
-- taken (the id belongs to another nonce); nil if there is none. Also returns its id, or ''.
function new_events.recall(ctx, item)
  local id, nonce = item.id, item.nonce
  if id == '' then id = new_events.issued_id(ctx, nonce) end
  local taken = redis.call('EXISTS', keys.event(ctx, id)) == 1
  local before = taken and new_events.made_before(ctx, id, nonce)
  if before then return before, id end
  local duplicate_of = deduplication.find(ctx, item.owner, item.deduplication_key)
  if duplicate_of then return {'duplicate', 0, 0, duplicate_of}, id end
  return taken and {'taken', 0, 0, id} or nil, id
end

-- Records one new event; returns {code, due ms, created ms, id}. Codes: as of `recall`; past; full;
-- limit_reached (for the gate that id names); expired (content written beforehand).
function new_events.accept(ctx, batch, item)
  local nonce, owner, now = item.nonce, item.owner, ctx.now
  local known, id = new_events.recall(ctx, item)
  if known then return known end
  if batch.full == nil then batch.full = redis.call('EXISTS', keys.full(ctx)) == 1 end
  if batch.full then return {'full', 0, 0, id} end
  local due_ms = tonumber(item.ms)
  if item.kind == 'in' then due_ms = now + due_ms end
  if item.must_be_future == '1' and due_ms <= now then return {'past', due_ms, now, id} end
  local gate = gate_binding.without_room(ctx, owner, item.gates)
  if gate then return {'limit_reached', due_ms, now, gate} end
  if id == '' then id = next_id(ctx, nonce) end
  item.body_revision = new_events.keep_content(ctx, id, nonce, item.content)
  if not item.body_revision then return {'expired', due_ms, now, id} end
  batch.owners[owner] = true
  item.due_ms, item.end_ms = due_ms, end_of_run(ctx, id)
  item.gates = item.gates ~= '' and gate_binding.bind(ctx, id, owner, item.gates, due_ms) or nil
  new_events.record(ctx, batch, id, item)
  deduplication.set(ctx, owner, item.deduplication_key, item.deduplication_ttl, id,
    keys.event(ctx, id))
  return {'ok', due_ms, now, id}
end
