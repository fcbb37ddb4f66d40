-- Reads records, and maps the short codes of stored fields to full names. Only this file and
-- `store/records.py` contain the codes. All other code uses the names: `event.attempts` is a value,
-- `EVENT.attempts` is the code of the field.

-- A lease may be renewed for this long after the deadline of the attempt.
local SLACK_MS = 10000

-- Returns codes by names, and names by codes. Does not call `pairs`, because Redis does not offer
-- the standard functions of Lua while it loads a library.
local function codes(list)
  local by_name, by_code = {}, {}
  for i = 1, #list, 2 do by_name[list[i]], by_code[list[i + 1]] = list[i + 1], list[i] end
  return by_name, by_code
end

records.EVENT, records.EVENT_NAMES = codes({
  'format', 'f', 'owner', 'o', 'nonce', 'x', 'created_ms', 'c', 'updated_ms', 'u', 'due_ms', 'at',
  'first_due_ms', 'w', 'end_ms', 'end', 'deadline_ms', 'dl', 'body_revision', 'b', 'change', 'ch',
  'attempts', 'n', 'failures', 'fl', 'interruptions', 'in', 'token', 'tok',
  'interrupted_token', 'ptok', 'may_repeat', 'mr', 'renewable_until_ms', 'un', 'state', 'st',
  'finished_ms', 'fin', 'reason', 'y', 'cancel_requested_ms', 'cr', 'journaled', 'j',
  'deduplication_key', 'm', 'schedule', 's', 'revision', 'rv', 'strict', 'sr', 'pauses', 'pn',
  'previous', 'af', 'following', 'nx', 'replay_of', 'ro', 'destination', 'd', 'gates', 'g',
  'waits_at', 'l', 'passed_over', 'ps', 'turn_exempt', 'qx', 'waits_since_ms', 'ls',
})

records.SCHEDULE, records.SCHEDULE_NAMES = codes({
  'format', 'f', 'owner', 'o', 'created_ms', 'c', 'updated_ms', 'u', 'revision', 'rv',
  'state', 'st', 'name', 'nm', 'expression', 'ex', 'time_zone', 'tz', 'deadline_ms', 'dl',
  'fire_times', 'times', 'times_ahead', 'k', 'last_used_ms', 'last', 'last_fired_ms', 'lf',
  'first_begun_ms', 'cd', 'missed', 'missed', 'missed_policy', 'mp', 'missed_limit', 'mb',
  'planning_requested_ms', 'pl', 'exhausted_since_ms', 'dry', 'delay_ms', 'dy', 'jitter_ms', 'jt',
  'start_ms', 'start', 'end_ms', 'end', 'runs', 'max', 'runs_left', 'left', 'overlap', 'ov',
  'newest_occurrence', 'open', 'gap', 'gap', 'fold', 'fold', 'strict', 'sr', 'pauses', 'pn',
  'journaled', 'j', 'deduplication_key', 'm', 'search_terms', 'ix', 'destination', 'd',
  'gates', 'g',
})

records.GATE = codes({
  'created_ms', 'c', 'updated_ms', 'u', 'parallelism', 'p', 'rate', 'r', 'period_ms', 't',
  'parallelism_pinned', 'pp', 'rate_pinned', 'pr', 'paused_ms', 'pz', 'last_number', 'seq',
  'check_from', 'lk', 'cancel_until', 'dp', 'breaker', 'br', 'closed_until_ms', 'sh',
  'probes_failed', 'bk', 'ramp_since_ms', 'rp', 'ramp_rate', 'rr', 'origin', 'og',
  'trickle_rate', 'tr', 'trickle_parallelism', 'tp', 'longest_holds', 'lh', 'recent', 'rc',
  'since_ms', 'si', 'url', 'ur', 'cause', 'ca', 'failed_ms', 'fa',
})

-- Selects fields of a record for `read`. Called only while the library is loaded.
function records.fields(of, ...)
  local fields = {names = {...}, codes = {}}
  for i = 1, #fields.names do fields.codes[i] = of[fields.names[i]] end
  return fields
end

-- Returns the selected fields of the record at `key`, by name. Absent fields are nil.
function records.read(key, fields)
  local values, record, names = redis.call('HMGET', key, unpack(fields.codes)), {}, fields.names
  for i = 1, #names do
    if values[i] then record[names[i]] = values[i] end
  end
  return record
end

-- Converts a reply of HGETALL to a table by field name. Leaves out fields of later versions.
function records.named(stored, names)
  local record = {}
  for i = 1, #stored, 2 do
    local name = names[stored[i]]
    if name then record[name] = stored[i + 1] end
  end
  return record
end

-- Reads all fields of an event. HGETALL is cheaper than an HMGET of most fields.
function records.read_event(ctx, id)
  return records.named(redis.call('HGETALL', keys.event(ctx, id)), records.EVENT_NAMES)
end

-- Returns the value of an integer field. Raises an error if the value is not an integer. The
-- function that catches the error moves the event, schedule or gate to quarantine.
function records.integer(record, name, default)
  local value = record[name]
  if not value then return default or error(name .. ' is missing', 0) end
  if not string.find(value, '^%-?%d+$') then error(name .. ' is not an integer: ' .. value, 0) end
  return tonumber(value)
end

-- Returns the first due time of an event. The field `first_due_ms` exists only after a retry or a
-- wait has changed `due_ms`.
function records.first_due_ms(event)
  return records.integer(event, event.first_due_ms and 'first_due_ms' or 'due_ms')
end

-- Returns the time until which the lease of an attempt may be renewed, if the attempt began at
-- `began_ms`.
function records.renewable_until_ms(event, began_ms)
  return began_ms + records.integer(event, 'deadline_ms') + SLACK_MS
end

-- Returns when the running attempt began, computed from the field `renewable_until_ms`.
function records.began_ms(event)
  return records.integer(event, 'renewable_until_ms') - records.integer(event, 'deadline_ms')
    - SLACK_MS
end

-- Whether the record exists. Raises an error if the record exists without an owner.
function records.exists(key, record)
  if record.owner then return true end
  if redis.call('EXISTS', key) == 1 then error('owner is missing', 0) end
  return false
end
