-- Writes the place of a schedule (`due`, `paused_schedules` or quarantine) and its indexes.
local SCHEDULE = records.SCHEDULE

-- Returns the score of a schedule in `due`. Normally, the score is `at`, the due time of the next
-- fire time. If the schedule ends before `at`, the score is the time just after the end.
function schedule_index.check_at(record, at)
  local end_ms = record.end_ms and records.integer(record, 'end_ms')
  return end_ms and math.min(at, end_ms + 1) or at
end

-- Ends a schedule. An ended schedule does not fire unless an edit reactivates it.
function schedule_index.finish(ctx, sid)
  local key = keys.schedule(ctx, sid)
  redis.call('HSET', key, SCHEDULE.state, 'ended', SCHEDULE.updated_ms, ctx.now,
    SCHEDULE.fire_times, '')
  redis.call('HDEL', key, SCHEDULE.exhausted_since_ms, SCHEDULE.planning_requested_ms)
  redis.call('ZREM', keys.due(ctx), 's:' .. sid)
end

-- Adds a schedule to the indexes of its search terms, which are separated by blanks. An edit adds
-- the new terms before it removes the old terms.
function schedule_index.add_terms(ctx, sid, owner, created_ms, terms)
  for term in string.gmatch(terms, '%S+') do
    redis.call('ZADD', keys.search_term(ctx, owner, term), created_ms, sid)
  end
end

function schedule_index.remove_terms(ctx, sid, owner, terms, kept)
  for term in string.gmatch(terms, '%S+') do
    if not string.find(' ' .. kept .. ' ', ' ' .. term .. ' ', 1, true) then
      redis.call('ZREM', keys.search_term(ctx, owner, term), sid)
    end
  end
end

-- Moves a schedule to the place that its state requires. An active schedule is in `due`. A paused
-- schedule is in `paused_schedules`; but if it has an end, it is in `due`, so that a claim ends it.
-- An ended schedule is in no place.
function schedule_index.place(ctx, sid, state, end_ms, first_due)
  local at = state == 'active' and first_due or math.huge
  if state ~= 'ended' and end_ms then at = math.min(at, end_ms + 1) end
  if at < math.huge then
    due.put(ctx, 's:' .. sid, at)
    redis.call('ZREM', keys.paused_schedules(ctx), sid)
    return
  end
  if state == 'paused' then redis.call('ZADD', keys.paused_schedules(ctx), ctx.now, sid)
  else redis.call('ZREM', keys.paused_schedules(ctx), sid) end
  redis.call('ZREM', keys.due(ctx), 's:' .. sid)
end

-- Removes a schedule from every place.
function schedule_index.remove(ctx, sid)
  redis.call('ZREM', keys.due(ctx), 's:' .. sid)
  redis.call('ZREM', keys.paused_schedules(ctx), sid)
  schedule_index.leave_quarantine(ctx, sid)
end

function schedule_index.leave_quarantine(ctx, sid)
  redis.call('ZREM', keys.quarantine(ctx), 's:' .. sid)
  redis.call('HDEL', keys.quarantine_reasons(ctx), 's:' .. sid)
end
