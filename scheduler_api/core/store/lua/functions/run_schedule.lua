-- Creates an occurrence on request. The occurrence is due now. The fire times of the schedule and
-- its number of runs left do not change.
--
-- Keys: prefix.
-- Options:
--   id, owner: those of the schedule.
--   event_id: the id of the new occurrence.
--   replay_of: the id of an old occurrence, to send the content of that occurrence again. '' to
--     send the present content of the schedule.
--   tenant_limits: see lib/tenant_limits.
--   deduplication_key, deduplication_ttl: see lib/deduplication.
-- Args: none.
-- Answer:
--   ok: the occurrence exists.
--   missing: the schedule, the occurrence to replay or its content does not exist.
--   ended: the schedule has ended.
--   full: the store is full.
--   `limit_reached:<limit>`: the tenant has reached a limit.
--   overlaps: the schedule skips overlapping occurrences, and its newest occurrence has not ended.
--   unfinished: the occurrence to replay has not ended.
--   `duplicate:<value>`: the deduplication key exists and has this value.
-- Atomic. If the first call got ok, a repeated call also gets ok, because the occurrence exists.
local EVENT, SCHEDULE = records.EVENT, records.SCHEDULE
local RUN = records.fields(SCHEDULE, 'owner', 'revision', 'state', 'deadline_ms', 'journaled',
  'end_ms', 'strict', 'overlap', 'newest_occurrence', 'pauses', 'gates', 'destination')
local SENT = records.fields(EVENT, 'schedule', 'revision', 'state')

-- Finds the template of the occurrence to replay, and postpones the deletion of this template.
-- Returns the revision of the template. If the occurrence cannot be replayed, returns nil and a
-- code.
local function revision_of(ctx, sid, event_id, present)
  local original = records.read(keys.event(ctx, event_id), SENT)
  if original.schedule ~= sid then return nil, 'missing' end
  if not original.state then return nil, 'unfinished' end
  if redis.call('EXISTS', keys.template(ctx, sid, original.revision)) == 0 then
    return nil, 'missing'
  end
  if original.revision ~= present then
    redis.call('ZADD', keys.superseded(ctx), ctx.now, sid .. ':' .. original.revision)
  end
  return original.revision
end

local function refusal(ctx, record)
  local options = ctx.options
  local duplicate_of = deduplication.find(ctx, options.owner, options.deduplication_key)
  if duplicate_of then return 'duplicate:' .. duplicate_of end
  if record.state == 'ended' or record.end_ms and records.integer(record, 'end_ms') < ctx.now then
    return 'ended'
  end
  if record.overlap == 'skip' and occurrences.overlaps(ctx, record) then return 'overlaps' end
  if redis.call('EXISTS', keys.full(ctx)) == 1 then return 'full' end
  local limit = tenant_limits.reached(ctx, 1, 0)
  if limit then return 'limit_reached:' .. limit end
end

local function run_schedule(key_names, args)
  local ctx = context.new(key_names, args)
  local options, sid, id = ctx.options, ctx.options.id, ctx.options.event_id
  local record = records.read(keys.schedule(ctx, sid), RUN)
  if record.owner ~= options.owner then return 'missing' end
  if redis.call('EXISTS', keys.event(ctx, id)) == 1 then return 'ok' end
  local code = refusal(ctx, record)
  if code then return code end
  if options.replay_of ~= '' then
    local revision, problem = revision_of(ctx, sid, options.replay_of, record.revision)
    if problem then return problem end
    record.revision = revision
  end
  occurrences.record(ctx, sid, record, id, ctx.now)
  if options.replay_of ~= '' then
    redis.call('HSET', keys.event(ctx, id), EVENT.replay_of, options.replay_of)
  end
  due.put(ctx, due.member(id, record), ctx.now)
  deduplication.set(ctx, options.owner, options.deduplication_key, options.deduplication_ttl, id,
    keys.event(ctx, id))
  if record.overlap then
    redis.call('HSET', keys.schedule(ctx, sid), SCHEDULE.newest_occurrence, id)
  end
  return 'ok'
end

redis.register_function{function_name = 'run_schedule_' .. VERSION, callback = run_schedule,
  flags = {'allow-oom'}}
