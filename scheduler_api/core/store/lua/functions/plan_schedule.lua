-- Stores further fire times of a schedule.
--
-- Keys: prefix.
-- Options: id, revision (from whose rule the fire times were computed), missed (how many fire times
--   before the first argument were missed), missed_times (the newest missed fire times: a list of
--   ms, ascending).
-- Args: fire times (see lib/fire_times)…
-- Answer: done; stale (the schedule was edited or deleted, or all fire times are used); ended
--   (without arguments: the rule yields no more fire times, so the schedule ends).
-- Atomic with the check of the revision. A repeated call stores the fire times that are not used.
local SCHEDULE = records.SCHEDULE
local PLANNED = records.fields(SCHEDULE, 'revision', 'state', 'last_used_ms', 'end_ms')

local function plan_schedule(key_names, args)
  local ctx = context.new(key_names, args)
  local sid, dropped, unused = ctx.options.id, ctx.options.missed_times, {}
  local key = keys.schedule(ctx, sid)
  local record = records.read(key, PLANNED)
  if record.revision ~= ctx.options.revision or record.state ~= 'active' then return 'stale' end
  if not args[2] then
    schedule_index.finish(ctx, sid)
    return 'ended'
  end
  local last = tonumber(record.last_used_ms)
  if dropped[1] and dropped[#dropped] > last then
    last = dropped[#dropped]
    redis.call('HINCRBY', key, SCHEDULE.missed, ctx.options.missed)
    redis.call('HSET', key, SCHEDULE.last_used_ms, last)
    fire_times.record_skipped(ctx, sid, 'missed', dropped)
  end
  for i = 2, #args do
    local _, fire_ms = fire_times.first(args[i])
    if fire_ms > last then unused[#unused + 1] = args[i] end
  end
  redis.call('HDEL', key, SCHEDULE.planning_requested_ms)
  if not unused[1] then return 'stale' end
  redis.call('HDEL', key, SCHEDULE.exhausted_since_ms)
  redis.call('HSET', key, SCHEDULE.fire_times, table.concat(unused, ','))
  local first_due = fire_times.first(unused[1])
  due.put(ctx, 's:' .. sid, schedule_index.check_at(record, first_due))
  return 'done'
end

redis.register_function{function_name = 'plan_schedule_' .. VERSION, callback = plan_schedule,
  flags = {'allow-oom'}}
