-- Decides whether an attempt may begin at a given time. This depends on the end of the event, on
-- the previous occurrence, and, if the schedule is strict, on the present state of the schedule.
local EVENT, SCHEDULE = records.EVENT, records.SCHEDULE
local MIN_INTERVAL_MS, CHECK_AGAIN_MS = 60000, 10000
local RULE = records.fields(SCHEDULE, 'owner', 'pauses', 'end_ms', 'fire_times', 'last_fired_ms',
  'first_begun_ms')
local PREVIOUS = records.fields(EVENT, 'owner', 'state')

-- Decides whether an occurrence of a strict schedule is withdrawn. A deletion or pause of the
-- schedule withdraws its existing occurrences. The next fire time withdraws retries. If fire times
-- are less than a minute apart, all retries are withdrawn.
-- Returns the reason if the occurrence is withdrawn. Otherwise returns nil, and the time when the
-- first attempt of the schedule began.
local function withdrawn_by_schedule(ctx, id, event, at, is_retry)
  local schedule = records.read(keys.schedule(ctx, event.schedule), RULE)
  if not schedule.owner then return 'deleted' end
  if (schedule.pauses or '0') ~= (event.pauses or '0') then return 'paused' end
  if schedule.end_ms and at > records.integer(schedule, 'end_ms') then return 'end' end
  if not is_retry then return nil, schedule.first_begun_ms end
  local next_due = tonumber(string.match(schedule.fire_times, '%d+'))
  if next_due and at >= next_due then return 'next' end
  local second = string.match(id, '%.(%d+)$')
  if not second then return nil, schedule.first_begun_ms end
  local fire_ms = tonumber(second) * 1000
  if schedule.last_fired_ms and records.integer(schedule, 'last_fired_ms') > fire_ms then
    return 'next'
  end
  if next_due and next_due - fire_ms < MIN_INTERVAL_MS then return 'next' end
  return nil, schedule.first_begun_ms
end

-- Returns nil if an attempt may begin at `at`. Otherwise returns the reason:
--   end: the end of the event or schedule has passed.
--   deleted, paused: the schedule was deleted or paused.
--   next: the next fire time has come.
function withdrawal.reason(ctx, id, event, at, is_retry)
  if event.end_ms and at > records.integer(event, 'end_ms') then return 'end' end
  if event.strict then return withdrawn_by_schedule(ctx, id, event, at, is_retry) end
end

-- Returns the final state of a withdrawn event: cancelled if the event was never attempted or its
-- schedule was paused or deleted, otherwise dead.
function withdrawal.final_state(reason, attempted)
  local by_user = reason == 'paused' or reason == 'deleted'
  return (by_user or not attempted) and 'cancelled' or 'dead'
end

-- Decides whether a retry may begin at `at`. If it may, returns 'retry', the given reason and `at`.
-- Otherwise returns the final state of the event, the reason of the withdrawal and 0.
function withdrawal.bound_retry(ctx, id, event, reason, at)
  local withdrawn = withdrawal.reason(ctx, id, event, at, true)
  if withdrawn then return withdrawal.final_state(withdrawn, true), withdrawn, 0 end
  return 'retry', reason, at
end

-- Returns whether an occurrence must wait for the previous occurrence. If it must wait, delays it
-- by ten seconds. If the previous occurrence ends earlier, `endings.finish` makes it due at once.
function withdrawal.waits(ctx, id, event)
  local previous = records.read(keys.event(ctx, event.previous), PREVIOUS)
  if not previous.owner or previous.state then return false end
  local again_ms = ctx.now + CHECK_AGAIN_MS
  redis.call('HSET', keys.event(ctx, id), EVENT.first_due_ms, records.first_due_ms(event),
    EVENT.due_ms, again_ms)
  due.put(ctx, due.member(id, event), again_ms)
  slots.release(ctx, id, event)
  return true
end
