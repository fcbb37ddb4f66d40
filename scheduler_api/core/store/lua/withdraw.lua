-- Part of begin and settle: whether an occurrence may be tried at a time, as its end, the one
-- before it and, if it is strict, its schedule stand now. Expects nothing.
local SHORTEST_MS, LOOK_AGAIN_MS = 60000, 10000

-- Strict: what was made before a pause is taken back; a retry goes only before the next fire
-- time, and not at all where that is less than a minute after its own.
local function taken_back(id, event, at, again)
  local schedule = read(schedule_key(event.s), 'o', 'pn', 'end', 'times', 'lf', 'cd')
  if not schedule.o then return 'deleted' end
  if (schedule.pn or '0') ~= (event.pn or '0') then return 'paused' end
  if schedule['end'] and at > whole(schedule, 'end') then return 'end' end
  if not again then return nil, schedule.cd end
  local following = tonumber(string.match(schedule.times, '%d+'))
  if following and at >= following then return 'next' end
  local fired = string.match(id, '%.(%d+)$')
  if not fired then return nil, schedule.cd end
  local nominal = tonumber(fired) * 1000
  if schedule.lf and whole(schedule, 'lf') > nominal then return 'next' end
  if following and following - nominal < SHORTEST_MS then return 'next' end
  return nil, schedule.cd
end

-- Why an attempt must not begin at `at`, nil if it may; `again` if there was one before.
local function withdrawn(id, event, at, again)
  if event['end'] and at > whole(event, 'end') then return 'end' end
  if event.sr then return taken_back(id, event, at, again) end
end

-- Its last state: a dead letter if it was tried, unless a person has taken it back.
local function ending(reason, tried)
  local taken = reason == 'paused' or reason == 'deleted'
  return (taken or not tried) and 'cancelled' or 'dead'
end

-- What becomes of a retry: one that may not begin any more is none.
local function bounded(id, event, reason, at)
  local why = withdrawn(id, event, at, true)
  if why then return ending(why, true), why, 0 end
  return 'retry', reason, at
end

-- Where none may overlap, one that is due looks again every ten seconds while the one before has
-- not ended; whatever ends that sends for it at once.
local function waits(id, event)
  local before = read(event_key(event.af), 'o', 'st')
  if not before.o or before.st then return false end
  redis.call('HSET', event_key(id), 'w', first_wanted(event), 'at', now + LOOK_AGAIN_MS)
  put_due(member_of(id, event), now + LOOK_AGAIN_MS)
  free(id, event)
  return true
end
