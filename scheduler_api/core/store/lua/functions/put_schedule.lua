-- Creates a schedule, or edits a schedule: stores a new revision, template and fire times.
--
-- Keys: prefix.
-- Options: id, owner, read_revision (the revision when the schedule was read; '' to create a
--   schedule), revision (the new revision), name (given by the owner, or ''), state (active, paused
--   or ended), last_used_ms (fire times up to this time count as used; absent: up to now),
--   keeps_times (true: keep last_used_ms and the stored fire times, and append the new ones),
--   fire_times (see lib/fire_times), skipped (fire times that a pause skipped, a list of ms),
--   deduplication_key and deduplication_ttl (see lib/deduplication), end_ms and runs (as in the
--   record, or absent).
-- Args: content of the template ('' if it was written before the call, with the revision in its
--   key), then names and values of the other fields of the record.
-- Answer: {code, created ms, id}. Codes: ok, missing, changed (since the schedule was read), taken
--   (the id is in use), named (another schedule, whose id is in the answer, has the name), past
--   (end_ms is not in the future), expired (the content written before the call), duplicate (the
--   answer contains the value of the deduplication key instead of the id).
-- Atomic: occurrences created after the answer follow the new rule. If the first call got ok, a
-- repeated call also gets ok, because the record contains the new revision.
local SCHEDULE = records.SCHEDULE
local OPTIONAL = records.fields(SCHEDULE, 'exhausted_since_ms', 'planning_requested_ms', 'delay_ms',
  'missed_policy', 'missed_limit', 'journaled', 'start_ms', 'end_ms', 'runs', 'runs_left',
  'jitter_ms', 'overlap', 'gap', 'fold', 'strict', 'search_terms', 'gates', 'destination')
local RULE = records.fields(SCHEDULE, 'owner', 'revision', 'created_ms', 'state', 'fire_times',
  'last_used_ms', 'end_ms', 'runs', 'runs_left', 'search_terms', 'overlap', 'last_fired_ms')

-- Returns nil if the schedule can be stored; otherwise the code and the id for the answer.
local function refusal(ctx, record)
  local options, sid = ctx.options, ctx.options.id
  local duplicate_of = deduplication.find(ctx, options.owner, options.deduplication_key)
  if duplicate_of then return 'duplicate', duplicate_of end
  local creates = options.read_revision == ''
  if creates and record.owner then return 'taken', sid end
  if not creates and record.owner ~= options.owner then return 'missing', sid end
  if not creates and record.revision ~= options.read_revision then return 'changed', sid end
  local named = options.name ~= ''
    and redis.call('HGET', keys.names(ctx, options.owner), options.name)
  if named and named ~= sid then return 'named', named end
  local end_ms = options.end_ms
  if end_ms and end_ms <= ctx.now and end_ms ~= tonumber(record.end_ms) then return 'past', sid end
end

local function keep_template(ctx, content)
  local key = keys.template(ctx, ctx.options.id, ctx.options.revision)
  if content == '' then return redis.call('PERSIST', key) == 1 end
  redis.call('SET', key, content)
  return true
end

-- Returns the fire times to store, and the newest fire time that counts as used.
local function fire_times_to_store(ctx, record, state)
  local options = ctx.options
  local last, times = options.last_used_ms or ctx.now, options.fire_times
  if options.keeps_times then
    last = record.last_used_ms
    times = fire_times.join(record.fire_times, times, last)
  elseif not options.last_used_ms then
    times = fire_times.join('', times, ctx.now)
  end
  return state == 'ended' and '' or times, last
end

-- Updates the fields that depend on both the old and the new record: the number of runs left, the
-- number of pauses, and the newest occurrence.
local function update_dependent_fields(ctx, key, record, fields, state, left)
  if left then redis.call('HSET', key, SCHEDULE.runs_left, left) end
  if state == 'paused' and record.state ~= state then
    redis.call('HINCRBY', key, SCHEDULE.pauses, 1)
  end
  if fields.overlap and not record.overlap and record.last_fired_ms then
    local second = math.floor(record.last_fired_ms / 1000)
    redis.call('HSET', key, SCHEDULE.newest_occurrence,
      string.format('%s.%.0f', ctx.options.id, second))
  end
end

local function put_schedule(key_names, args)
  local ctx = context.new(key_names, args)
  local options, sid, owner = ctx.options, ctx.options.id, ctx.options.owner
  local key, now, creates = keys.schedule(ctx, sid), ctx.now, ctx.options.read_revision == ''
  local record = records.read(key, RULE)
  if record.revision == options.revision and record.owner == owner then
    return {'ok', record.created_ms, sid}
  end
  local code, answered_id = refusal(ctx, record)
  if code then return {code, 0, answered_id} end
  if not keep_template(ctx, args[2]) then return {'expired', 0, sid} end
  if not creates then
    redis.call('ZADD', keys.superseded(ctx), now, sid .. ':' .. options.read_revision)
  end
  local state, end_ms, left = options.state, options.end_ms, options.runs
  if left and record.runs then left = left - (record.runs - record.runs_left) end
  if end_ms and end_ms < now or left and left < 1 then state = 'ended' end
  local times, last = fire_times_to_store(ctx, record, state)
  local created_ms = record.created_ms or string.format('%.0f', now)
  local fields, stored = {}, {}
  for i = 3, #args, 2 do
    fields[args[i]] = args[i + 1]
    stored[#stored + 1], stored[#stored + 2] = SCHEDULE[args[i]], args[i + 1]
  end
  redis.call('HDEL', key, unpack(OPTIONAL.codes))
  redis.call('HSET', key, SCHEDULE.format, 1, SCHEDULE.owner, owner, SCHEDULE.created_ms,
    created_ms, SCHEDULE.updated_ms, now, SCHEDULE.revision, options.revision, SCHEDULE.state,
    state, SCHEDULE.fire_times, times, SCHEDULE.last_used_ms, last, unpack(stored))
  fire_times.record_skipped(ctx, sid, 'paused', options.skipped)
  update_dependent_fields(ctx, key, record, fields, state, left)
  redis.call('SADD', keys.owners(ctx), owner)
  redis.call('ZADD', keys.schedules(ctx, owner), created_ms, sid)
  local terms = fields.search_terms or ''
  schedule_index.add_terms(ctx, sid, owner, created_ms, terms)
  schedule_index.remove_terms(ctx, sid, owner, record.search_terms or '', terms)
  if options.name ~= '' then
    redis.call('HSET', keys.names(ctx, owner), options.name, sid)
    redis.call('HSET', key, SCHEDULE.name, options.name)
  end
  schedule_index.place(ctx, sid, state, end_ms, fire_times.first(times) or now)
  schedule_index.leave_quarantine(ctx, sid)
  if not creates and options.deduplication_key ~= '' then
    deduplication.release(ctx, owner, sid, key)
  end
  deduplication.set(ctx, owner, options.deduplication_key, options.deduplication_ttl, sid, key)
  return {'ok', created_ms, sid}
end

redis.register_function{function_name = 'put_schedule_' .. VERSION, callback = put_schedule,
  flags = {'allow-oom'}}
