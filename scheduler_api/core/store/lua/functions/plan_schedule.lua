-- Replaces the stored fire times of a schedule with newly computed fire times.
--
-- Keys: prefix.
-- Options:
--   id.
--   revision: the revision of the schedule from which the caller computed the fire times.
--   missed: the number of missed fire times. All of them are earlier than those in the arguments.
--   missed_times: the newest missed fire times, a list of ms, ascending.
-- Args: fire times (see lib/fire_times)…
-- Answer:
--   done: fire times are stored.
--   stale: no fire times are stored. The schedule was edited, paused or deleted, or it has already
--     fired or dropped all these fire times.
--   ended: the caller passed no fire times, because the rule yields no more. The schedule has
--     ended.
-- Atomic: no edit can happen between the check of the revision and the storing. If the schedule has
-- fired or dropped some of the fire times since the first call, a repeated call does not store
-- those again.
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
