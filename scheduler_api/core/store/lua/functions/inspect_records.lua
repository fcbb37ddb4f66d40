-- Reads records for fsck, and reports which places (keys and indexes) refer to each record.
--
-- Keys: prefix.
-- Options: none.
-- Args: an event id for each event, `s:<id>` for each schedule…
-- Answer per member: {record, places}. `record` lists fields and values; if the record is
--   unreadable, `record` is the text of the error. `places` lists names and values of places,
--   without the places that do not refer to the record.
-- The values of the places:
--   due, leased, quarantine, paused_schedules, schedules, occurrences: the score in this key.
--   by_time, finished: the score in the set for the event's state.
--   quarantine_reasons, isolated: 1 if this key contains the event or schedule.
--   owners: 1 if this key contains the owner of the record.
--   names: 1 if the schedule's name leads to the schedule.
--   line: 1 if the event is in the waiting line of the gate at which the event waits.
--   checked: 1 if a check of that gate is planned, or that gate is paused.
--   misspelt: 1 if the member in `due` or `leased` wrongly has or lacks the prefix `~`.
--   search_terms: how many of the schedule's search terms have an index that contains the schedule.
--   content: the TTL of the content, or of the body that it shares, in ms; -1 without a TTL.
--   turns: how many of the event's queues contain the event.
--   slots: how many of the event's other gates have the event as a holder.
-- Atomic: never reads an event while another call moves the event between two places. Writes
-- nothing.
local GATE = records.GATE

local function note(places, name, value)
  if not value or value == 0 then return end
  places[#places + 1] = name
  places[#places + 1] = value
end

local function note_content(places, key, shared_ttl)
  local left = shared_ttl or redis.call('PTTL', key)
  if left ~= -2 then note(places, 'content', left) end
end

local function note_gates(ctx, id, event, places)
  local turns, held, line = 0, 0, event.waits_at
  for _, gate in ipairs(gates.of(event)) do
    if gates.is_queue(gate) then
      turns = turns + (redis.call('ZSCORE', keys.order(ctx, gate), id) and 1 or 0)
    else
      held = held + redis.call('SISMEMBER', keys.holders(ctx, gate), id)
    end
  end
  note(places, 'turns', turns)
  note(places, 'slots', held)
  if not line then return end
  local set = gates.is_queue(line) and keys.order(ctx, line) or keys.waiters(ctx, line)
  note(places, 'line', redis.call('ZSCORE', set, id) and 1)
  local paused = redis.call('HEXISTS', keys.gate(ctx, line), GATE.paused_ms) == 1
  local planned = redis.call('ZSCORE', keys.due(ctx), 'g:' .. line)
  note(places, 'checked', (paused or planned) and 1)
end

local function note_event(ctx, id, event, places)
  note(places, 'isolated', redis.call('SISMEMBER', keys.isolated(ctx), id))
  note_gates(ctx, id, event, places)
  local other = event.gates and id or '~' .. id
  local misspelt = redis.call('ZSCORE', keys.due(ctx), other)
    or redis.call('ZSCORE', keys.leased(ctx), other)
  note(places, 'misspelt', misspelt and 1)
  if not event.owner then return end
  local by_time = keys.by_time(ctx, event.owner, event.state or 'active')
  note(places, 'by_time', redis.call('ZSCORE', by_time, id))
  if event.state then
    note(places, 'finished', redis.call('ZSCORE', keys.finished(ctx, event.owner, event.state), id))
  end
  if event.schedule then
    note(places, 'occurrences', redis.call('ZSCORE', keys.occurrences(ctx, event.schedule), id))
    note_content(places, keys.template(ctx, event.schedule, event.revision or ''))
  else
    local body = keys.body(ctx, id, event.body_revision)
    note_content(places, body, shared_bodies.ttl(ctx, event.owner, body))
  end
end

local function note_schedule(ctx, sid, record, places)
  note(places, 'paused_schedules', redis.call('ZSCORE', keys.paused_schedules(ctx), sid))
  local owner = record.owner
  if not owner then return end
  note(places, 'schedules', redis.call('ZSCORE', keys.schedules(ctx, owner), sid))
  note_content(places, keys.template(ctx, sid, record.revision or ''))
  local named = record.name and redis.call('HGET', keys.names(ctx, owner), record.name)
  note(places, 'names', named == sid and 1)
  local terms = 0
  for term in string.gmatch(record.search_terms or '', '%S+') do
    terms = terms + (redis.call('ZSCORE', keys.search_term(ctx, owner, term), sid) and 1 or 0)
  end
  note(places, 'search_terms', terms)
end

local function inspect(ctx, member)
  local sid, places, record = string.match(member, '^s:(.*)$'), {}, {}
  local id = string.gsub(member, '^~', '')
  local key = sid and keys.schedule(ctx, sid) or keys.event(ctx, id)
  local names = sid and records.SCHEDULE_NAMES or records.EVENT_NAMES
  local readable, stored = pcall(redis.call, 'HGETALL', key)
  if readable then record = records.named(stored, names) end
  if not sid and next(record) then member = due.member(id, record) end
  note(places, 'due', redis.call('ZSCORE', keys.due(ctx), member))
  note(places, 'leased', redis.call('ZSCORE', keys.leased(ctx), member))
  note(places, 'quarantine', redis.call('ZSCORE', keys.quarantine(ctx), id))
  note(places, 'quarantine_reasons', redis.call('HEXISTS', keys.quarantine_reasons(ctx), id))
  if record.owner then
    note(places, 'owners', redis.call('SISMEMBER', keys.owners(ctx), record.owner))
  end
  if sid then note_schedule(ctx, sid, record, places)
  else note_event(ctx, id, record, places) end
  return {readable and stored or errors.text(stored), places}
end

local function inspect_records(key_names, args)
  local ctx, views = context.new(key_names, args), {}
  for i = 2, #args do views[#views + 1] = inspect(ctx, args[i]) end
  return views
end

redis.register_function{function_name = 'inspect_records_' .. VERSION, callback = inspect_records,
  flags = {'no-writes'}}
