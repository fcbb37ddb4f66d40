-- Creates or edits a schedule: stores a new revision, template and fire times.
--
-- Keys: prefix.
-- Options:
--   id, owner.
--   read_revision: the revision that the caller read. '' to create a schedule.
--   revision: the new revision.
--   name: the name that the owner gave to the schedule, or ''.
--   state: active, paused or ended.
--   last_used_ms: the schedule does not fire at fire times up to this time. Absent: up to now.
--   fire_times: new fire times (see lib/fire_times).
--   pauses: true if the edit is a pause that does not change the content. Then the content of the
--     revision that the caller read is copied.
--   keeps_times: true to keep the last_used_ms and the fire times of the record, and to append the
--     new fire times.
--   skipped: the fire times that a pause skipped, a list of ms.
--   deduplication_key, deduplication_ttl: see lib/deduplication.
--   audit: see lib/audit. Only changes of the state are recorded.
--   tenant_limits: see lib/tenant_limits. An edit is refused only if its content is longer than
--     before.
--   end_ms, runs: fields of the record. Absent if the schedule has no end or no maximum of runs.
-- Args: the content of the template, then names and values of the other fields of the record. The
--   content is '' if the caller wrote it before the call, to the key that contains the revision, or
--   if the edit is a pause.
-- Answer: {code, created ms, id}.
-- Codes:
--   ok: the schedule is stored.
--   missing: the owner has no such schedule.
--   changed: the schedule has changed since the caller read it.
--   taken: the new schedule has an id that is in use.
--   named: another schedule has the name. The answer contains the id of that schedule.
--   past: end_ms is new and not in the future.
--   expired: the caller wrote the content before the call, and the content has expired.
--   duplicate: the deduplication key exists. The answer contains its value in place of the id.
--   limit_reached: the tenant has reached a limit or is being removed. The answer contains the limit,
--     or 'removed', in place of the id.
--   full: the store is full. Only a pause is stored then, because every other edit grows the store.
-- Atomic: occurrences created after the answer follow the new rule. If the first call got ok, a
-- repeated call also gets ok, because the record contains the new revision.
local SCHEDULE = records.SCHEDULE
local OPTIONAL = records.fields(SCHEDULE, 'exhausted_since_ms', 'planning_requested_ms', 'delay_ms',
  'missed_policy', 'missed_limit', 'journaled', 'start_ms', 'end_ms', 'runs', 'runs_left',
  'jitter_ms', 'overlap', 'gap', 'fold', 'strict', 'search_terms', 'gates', 'destination')
local RULE = records.fields(SCHEDULE, 'owner', 'revision', 'created_ms', 'state', 'fire_times',
  'last_used_ms', 'end_ms', 'runs', 'runs_left', 'search_terms', 'overlap', 'last_fired_ms')

-- Returns nil if the schedule can be stored. Otherwise returns the code for the answer, and the
-- value that the answer contains as id.
local function refusal(ctx, record, bytes)
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
  local pauses = options.pauses and record.state ~= options.state
  if not pauses and redis.call('EXISTS', keys.full(ctx)) == 1 then return 'full', sid end
  local limit = tenant_limits.removed(ctx, options.owner)
    or tenant_limits.reached(ctx, creates and 1 or 0, bytes)
  if limit then return 'limit_reached', limit end
end

-- Returns by how much the content grows.
local function bytes_of(ctx, content)
  local sid, options = ctx.options.id, ctx.options
  if not options.tenant_limits or options.pauses then return 0 end
  local old = options.read_revision ~= '' and keys.template(ctx, sid, options.read_revision)
  return tenant_limits.bytes(content, keys.template(ctx, sid, options.revision), old)
end

local function keep_template(ctx, content)
  local sid, options = ctx.options.id, ctx.options
  local key = keys.template(ctx, sid, options.revision)
  if options.pauses then
    return redis.call('COPY', keys.template(ctx, sid, options.read_revision), key) == 1
  end
  if content == '' then return redis.call('PERSIST', key) == 1 end
  redis.call('SET', key, content)
  return true
end

-- Returns the fire times and the value of last_used_ms to store.
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

-- Updates the fields whose new values depend on the old record: the number of runs left, the number
-- of pauses, and the newest occurrence.
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

local function describe(state) return '{"state":"' .. state .. '"}' end

local function put_schedule(key_names, args)
  local ctx = context.new(key_names, args)
  local options, sid, owner = ctx.options, ctx.options.id, ctx.options.owner
  local key, now, creates = keys.schedule(ctx, sid), ctx.now, ctx.options.read_revision == ''
  local record = records.read(key, RULE)
  if record.revision == options.revision and record.owner == owner then
    return {'ok', record.created_ms, sid}
  end
  local bytes = bytes_of(ctx, args[2])
  local code, answered_id = refusal(ctx, record, bytes)
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
  if not creates then audit.write(ctx, describe(record.state or ''), describe(state)) end
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
  tenant_limits.add(ctx, creates and 1 or 0, bytes)
  return {'ok', created_ms, sid}
end

redis.register_function{function_name = 'put_schedule_' .. VERSION, callback = put_schedule,
  flags = {'allow-oom'}}
