-- Occurrences: the events that a schedule creates at its fire times or on request.
--
-- When a schedule is due, one atomic call creates its occurrence and moves the schedule to its next
-- stored fire time, so that a crash in between cannot stop the schedule. When few stored fire times
-- remain, the call requests planning: the computation of further fire times.
local EVENT, SCHEDULE = records.EVENT, records.SCHEDULE
local PLAN_AGAIN_MS = 5000
local COPIED = {'journaled', 'end_ms', 'strict', 'pauses', 'destination'}
local NEWEST = records.fields(EVENT, 'owner', 'state')
local FIRED = records.fields(SCHEDULE, 'owner', 'revision', 'state', 'deadline_ms', 'fire_times',
  'times_ahead', 'planning_requested_ms', 'delay_ms', 'missed_policy', 'missed_limit', 'journaled',
  'end_ms', 'runs_left', 'strict', 'pauses', 'overlap', 'newest_occurrence', 'gates', 'destination')
local LEFT = records.fields(SCHEDULE, 'runs_left')

-- Whether a new occurrence must not overlap the newest one, which has not ended. Reads the record
-- of the newest occurrence, because a counter of running occurrences could be wrong.
function occurrences.overlaps(ctx, record)
  if not (record.overlap and record.newest_occurrence) then return false end
  local newest = records.read(keys.event(ctx, record.newest_occurrence), NEWEST)
  return newest.owner and not newest.state
end

-- Writes the record of a new occurrence, and counts it. The caller adds the occurrence to `due` or
-- `leased`. Returns false if the occurrence exists. If the new occurrence must not overlap the newest
-- one, links the two, so that the new occurrence waits for the end of the other one.
function occurrences.record(ctx, sid, record, id, due_ms)
  local key = keys.event(ctx, id)
  if redis.call('EXISTS', key) == 1 then return false end
  local stored = {EVENT.format, 1, EVENT.owner, record.owner, EVENT.created_ms, ctx.now,
    EVENT.due_ms, due_ms, EVENT.deadline_ms, record.deadline_ms, EVENT.schedule, sid,
    EVENT.revision, record.revision}
  local function add(name, value)
    if value then stored[#stored + 1], stored[#stored + 2] = EVENT[name], value end
  end
  for _, name in ipairs(COPIED) do add(name, record[name]) end
  if occurrences.overlaps(ctx, record) then
    add('previous', record.newest_occurrence)
    redis.call('HSET', keys.event(ctx, record.newest_occurrence), EVENT.following, id)
  end
  add('gates', record.gates and gate_binding.bind(ctx, id, record.owner, record.gates, due_ms))
  redis.call('HSET', key, unpack(stored))
  redis.call('ZADD', keys.occurrences(ctx, sid), due_ms, id)
  redis.call('ZADD', keys.by_time(ctx, record.owner, 'active'), due_ms, id)
  redis.call('HINCRBY', keys.totals(ctx), 'created', 1)
  journal.append(ctx, record, id, 'created')
  return true
end

local function request_planning(ctx, sid, requested_ms, batch)
  if requested_ms <= ctx.now and ctx.now - requested_ms < PLAN_AGAIN_MS then return end
  redis.call('HSET', keys.schedule(ctx, sid), SCHEDULE.planning_requested_ms, ctx.now)
  batch.schedule_ids[#batch.schedule_ids + 1] = sid
end

-- Creates the occurrence of a fire time. If the occurrence is due and has no gates, offers it at
-- once. Otherwise puts it into `due`.
local function create(ctx, sid, record, due_ms, fire_ms, batch)
  local id = string.format('%s.%.0f', sid, math.floor(fire_ms / 1000))
  due_ms = due_ms + records.integer(record, 'delay_ms', 0)
  if not occurrences.record(ctx, sid, record, id, due_ms) then return end
  local key = keys.schedule(ctx, sid)
  if record.runs_left then redis.call('HINCRBY', key, SCHEDULE.runs_left, -1) end
  if record.overlap then redis.call('HSET', key, SCHEDULE.newest_occurrence, id) end
  redis.call('HSET', key, SCHEDULE.last_fired_ms, fire_ms)
  if record.gates or due_ms > ctx.now then
    return due.put(ctx, due.member(id, record), due_ms)
  end
  redis.call('ZADD', keys.leased(ctx), ctx.now + ctx.options.offer_ms, id)
  batch.ids[#batch.ids + 1] = id
end

-- Ends a schedule whose end has passed. Records the remaining fire times up to the end as skipped.
local function finish(ctx, sid, record)
  local skipped = {}
  for text in string.gmatch(record.fire_times, '[^,]+') do
    local _, fire_ms = fire_times.first(text)
    if fire_ms <= records.integer(record, 'end_ms') then skipped[#skipped + 1] = fire_ms end
  end
  fire_times.record_skipped(ctx, sid, 'end', skipped)
  schedule_index.finish(ctx, sid)
end

-- Returns whether a due schedule must not fire, because it is deleted, ended or paused. Removes
-- such a schedule from `due`. Only a paused schedule with an end stays in `due`, and becomes due
-- just after its end.
local function is_inactive(ctx, sid, key, record)
  local member = 's:' .. sid
  if not records.exists(key, record) or record.state == 'ended' then
    redis.call('ZREM', keys.due(ctx), member)
    return true
  end
  local end_ms = record.end_ms and records.integer(record, 'end_ms')
  if end_ms and end_ms < ctx.now then
    finish(ctx, sid, record)
    return true
  end
  if record.state ~= 'paused' then return false end
  if end_ms then redis.call('ZADD', keys.due(ctx), end_ms + 1, member)
  else redis.call('ZREM', keys.due(ctx), member) end
  return true
end

-- Fires a due schedule; `batch` collects the ids to offer and the schedules to plan.
function occurrences.fire(ctx, sid, batch)
  local key = keys.schedule(ctx, sid)
  local record = records.read(key, FIRED)
  if is_inactive(ctx, sid, key, record) then return end
  if record.state ~= 'active' then error('state is unknown', 0) end
  if not record.revision then error('revision is missing', 0) end
  local ahead = records.integer(record, 'times_ahead')
  local requested_ms = records.integer(record, 'planning_requested_ms', 0)
  record.deadline_ms = records.integer(record, 'deadline_ms')
  local times, missed, must_plan = fire_times.drop_missed(ctx,
    fire_times.checked(record.fire_times), ctx.options.missed_grace_ms,
    record.missed_policy or 'latest', records.integer(record, 'missed_limit', 0))
  times = fire_times.drop_jumped(times, missed, ctx.options.jumped_from_ms, ctx.options.jumped_to_ms)
  if missed[1] then redis.call('HINCRBY', key, SCHEDULE.missed, #missed) end
  fire_times.record_skipped(ctx, sid, 'missed', missed)
  local last, due_ms, fire_ms, rest = missed[#missed], fire_times.first(times)
  if due_ms and due_ms <= ctx.now and not must_plan then
    if record.overlap == 'skip' and occurrences.overlaps(ctx, record) then
      fire_times.record_skipped(ctx, sid, 'overlap', {fire_ms})
    else
      create(ctx, sid, record, due_ms, fire_ms, batch)
    end
    times, last = rest, fire_ms
    due_ms = fire_times.first(times)
  end
  if last then
    redis.call('HSET', key, SCHEDULE.fire_times, times, SCHEDULE.last_used_ms, last)
  end
  if record.runs_left and records.integer(records.read(key, LEFT), 'runs_left') < 1 then
    return schedule_index.finish(ctx, sid)
  end
  local exhausted = must_plan or not due_ms
  if exhausted then redis.call('HSETNX', key, SCHEDULE.exhausted_since_ms, ctx.now) end
  if exhausted or fire_times.count(times) * 2 < ahead then
    request_planning(ctx, sid, requested_ms, batch)
  end
  local check_at = schedule_index.check_at(record, exhausted and ctx.now + PLAN_AGAIN_MS or due_ms)
  redis.call('ZADD', keys.due(ctx), check_at, 's:' .. sid)
end
