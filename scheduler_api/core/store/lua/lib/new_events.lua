-- Creates events: assigns the id, stores content and record, and adds the event to `due` and the
-- indexes.
local EVENT = records.EVENT
local ISSUED_FOR_MS = 60000
local CREATED = records.fields(EVENT, 'nonce', 'due_ms', 'first_due_ms', 'created_ms')
-- Fields that are absent in some events.
local OPTIONAL = {'body_revision', 'journaled', 'gates', 'turn_exempt', 'destination', 'end_ms'}

-- The number of arguments per new event. `item` gives the names of the arguments. Their values:
--   id: '' to assign the next id.
--   kind, ms: 'at' and a time, or 'in' and a delay.
--   must_be_future: '1' if the due time must be in the future, otherwise ''.
--   deadline_ms: the time limit of an attempt.
--   content: '' if the caller wrote the content before the call, to the key that contains the
--     nonce. The call removes the TTL of this key.
--   journaled: '1' or ''.
--   deduplication_key, deduplication_ttl: see lib/deduplication.
--   gates: encoded, see lib/gate_binding.
new_events.WIDTH = 13

function new_events.item(args, at)
  return {
    id = args[at], nonce = args[at + 1], owner = args[at + 2], kind = args[at + 3],
    ms = args[at + 4], must_be_future = args[at + 5], deadline_ms = args[at + 6],
    content = args[at + 7], journaled = args[at + 8], deduplication_key = args[at + 9],
    deduplication_ttl = args[at + 10], destination = args[at + 11], gates = args[at + 12],
  }
end

-- Creates a batch. A batch collects the events that one call records; then `place` adds all of them
-- to each sorted set with one command. Fewer commands keep the append-only file and the replication
-- stream small.
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

-- Assigns the next free id. Ids ascend in the order of creation. Stores the id under the nonce, so
-- that a repeated call finds the id.
local function next_id(ctx, nonce)
  local id
  servers.check(ctx)
  repeat id = base_36(redis.call('INCR', keys.sequence(ctx)))
  until redis.call('EXISTS', keys.event(ctx, id)) == 0
  redis.call('SET', keys.issued_id(ctx, nonce), id, 'PX', ISSUED_FOR_MS)
  return id
end

-- Returns the id that an earlier call assigned to this nonce, or ''.
function new_events.issued_id(ctx, nonce)
  return redis.call('GET', keys.issued_id(ctx, nonce)) or ''
end

-- Stores the content, or keeps content that is already stored: if `content` is '', the caller wrote
-- it before the call, and this function removes its TTL. Returns the revision of the body, or nil
-- if the content has expired.
function new_events.keep_content(ctx, id, revision, content)
  if content ~= '' then
    redis.call('SET', keys.body(ctx, id), content)
    return ''
  end
  if redis.call('PERSIST', keys.body(ctx, id, revision)) == 1 then return revision end
end

-- Writes the record of an event. Leaves out optional fields whose value is ''. The caller must call
-- `place` afterwards.
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

-- Adds all recorded events to `due` and the indexes, and counts them; empties the batch.
function new_events.place(ctx, batch)
  for owner in pairs(batch.owners) do redis.call('SADD', keys.owners(ctx), owner) end
  if #batch.due == 0 then return end
  for owner, active in pairs(batch.active) do
    redis.call('ZADD', keys.by_time(ctx, owner, 'active'), unpack(active))
  end
  redis.call('ZADD', keys.due(ctx), unpack(batch.due))
  redis.call('HINCRBY', keys.totals(ctx), 'created', #batch.due / 2)
  local first = math.huge
  for i = 1, #batch.due, 2 do first = math.min(first, batch.due[i]) end
  due.wake_for(ctx, first)
  batch.due, batch.active, batch.owners = {}, {}, {}
end

-- Returns the answer of an earlier call with the same nonce that created the event. Returns nil if
-- there was no such call.
function new_events.created_before(ctx, id, nonce)
  local event = records.read(keys.event(ctx, id), CREATED)
  if event.nonce == nonce then
    return {'ok', event.first_due_ms or event.due_ms, event.created_ms, id}
  end
end

-- Returns the end of an event that belongs to a run of a schedule with a URL group. In such a run,
-- the occurrence creates one event per endpoint, with the id `<schedule>.<second>.<endpoint>`. The
-- event has the same end as the occurrence. Returns nil for other events.
local function end_of_run(ctx, id)
  local run = string.match(id, '^(.+%..+)%.[^.]+$')
  return run and redis.call('HGET', keys.event(ctx, run), EVENT.end_ms) or nil
end

-- Returns {code, due ms, created ms, id} if the event is not to be stored, otherwise nil. The
-- second result is the id of the event, or '' if no id is assigned yet.
-- Codes:
--   ok: an earlier call with the same nonce created the event.
--   duplicate: the deduplication key exists. The answer contains its value in place of the id.
--   taken: another event has the id.
function new_events.recall(ctx, item)
  local id, nonce = item.id, item.nonce
  if id == '' then id = new_events.issued_id(ctx, nonce) end
  local taken = redis.call('EXISTS', keys.event(ctx, id)) == 1
  local answer = taken and new_events.created_before(ctx, id, nonce)
  if answer then return answer, id end
  local duplicate_of = deduplication.find(ctx, item.owner, item.deduplication_key)
  if duplicate_of then return {'duplicate', 0, 0, duplicate_of}, id end
  return taken and {'taken', 0, 0, id} or nil, id
end

local function bytes_of(ctx, item, counted)
  local key = keys.body(ctx, item.id, item.nonce)
  return tenant_limits.bytes(item.content, key)
    + shared_bodies.added_bytes(ctx, item.owner, item.content, key, counted)
end

-- Checks whether the tenant has room for all new events in `args`. If it has not, `accept` refuses
-- all events of the batch that no earlier call has stored.
function new_events.reserve(ctx, batch, args)
  local count, bytes, counted = 0, 0, {}
  for i = 2, #args, new_events.WIDTH do
    local item = new_events.item(args, i)
    if not new_events.recall(ctx, item) then
      count = count + 1
      bytes = bytes + bytes_of(ctx, item, counted)
    end
  end
  batch.limit_reached = tenant_limits.reached(ctx, count, bytes)
end

-- Returns the answer if the store is full or the tenant of the owner is removed, otherwise nil. One
-- command reads both, once per batch and owner.
local function refusal(ctx, batch, owner, id)
  if batch.owners[owner] then return nil end
  if servers.is_lost(ctx) then return {'lost', 0, 0, id} end
  local full = keys.full(ctx)
  if redis.call('EXISTS', full, tenant_limits.removal_of(ctx, owner)) == 0 then return nil end
  if redis.call('EXISTS', full) == 1 then return {'full', 0, 0, id} end
  return {'limit_reached', 0, ctx.now, 'removed'}
end

-- Records one new event. Returns {code, due ms, created ms, id}.
-- Codes: those of `new_events.recall`, where ok also means that this call recorded the event; and:
--   past: the due time must be in the future but is not.
--   full: the store is full.
--   lost: the store has another epoch than the caller expects.
--   limit_reached: the owner has too many gates to create a gate of the event, or its tenant has
--     reached a limit or is being removed. The answer contains this gate, or the limit, or
--     'removed', in place of the id.
--   expired: the caller wrote the content before the call, and the content has expired.
function new_events.accept(ctx, batch, item)
  local nonce, owner, now = item.nonce, item.owner, ctx.now
  local answer, id = new_events.recall(ctx, item)
  if answer then return answer end
  answer = refusal(ctx, batch, owner, id)
  if answer then return answer end
  local due_ms = tonumber(item.ms)
  if item.kind == 'in' then due_ms = now + due_ms end
  if item.must_be_future == '1' and due_ms <= now then return {'past', due_ms, now, id} end
  local bytes = ctx.options.tenant_limits and bytes_of(ctx, item, {})
  local limit = batch.limit_reached or bytes and tenant_limits.reached(ctx, 1, bytes)
    or gate_binding.without_room(ctx, owner, item.gates)
  if limit then return {'limit_reached', due_ms, now, limit} end
  if id == '' then id = next_id(ctx, nonce) end
  local body_kept = shared_bodies.keep(ctx, owner, id, nonce, item.content)
  item.body_revision = body_kept and new_events.keep_content(ctx, id, nonce, item.content)
  if not item.body_revision then return {'expired', due_ms, now, id} end
  batch.owners[owner] = true
  item.due_ms, item.end_ms = due_ms, end_of_run(ctx, id)
  item.gates = item.gates ~= '' and gate_binding.bind(ctx, id, owner, item.gates, due_ms) or nil
  new_events.record(ctx, batch, id, item)
  deduplication.set(ctx, owner, item.deduplication_key, item.deduplication_ttl, id,
    keys.event(ctx, id))
  if bytes then tenant_limits.add(ctx, 1, bytes) end
  return {'ok', due_ms, now, id}
end
