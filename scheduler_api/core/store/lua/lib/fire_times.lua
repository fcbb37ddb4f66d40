-- The stored fire times of a schedule, and the record of skipped fire times.
--
-- Fire times are stored as a text, ascending and separated by commas. Each one is `<due ms>` or,
-- with jitter, `<due ms>:<fire time ms>`.
local MAX_SKIPPED, SKIPPED_KEPT_MS = 1000, 30 * 86400000

-- Reads the first fire time of a text. Returns its due time, the fire time itself, and the rest of
-- the text. Returns nil if the text is empty.
function fire_times.first(times)
  local due_ms, fire_ms, rest = string.match(times, '^(%d+):?(%d*),?(.*)$')
  if due_ms then return tonumber(due_ms), tonumber(fire_ms) or tonumber(due_ms), rest end
end

-- Returns `times`. Raises an error if `times` contains other characters than digits, `:` and `,`.
function fire_times.checked(times)
  if string.find(times, '[^%d:,]') then error('fire_times is not readable: ' .. times, 0) end
  return times
end

function fire_times.count(times)
  return times == '' and 0 or select(2, string.gsub(times, ',', '')) + 1
end

-- Appends fire times of the text `later` to the text `stored`. Only appends those after the newest
-- fire time of `stored`; if `stored` is empty, those after `last_used`. So the fire times ascend
-- even if the clock was set back.
function fire_times.join(stored, later, last_used)
  local joined = stored ~= '' and {stored} or {}
  local newest = tonumber(string.match(stored, '(%d+)$') or last_used)
  for text in string.gmatch(later, '[^,]+') do
    local _, fire_ms = fire_times.first(text)
    if fire_ms > newest then joined[#joined + 1] = text end
  end
  return table.concat(joined, ',')
end

-- Splits the text at the next fire time: the first one that is due at or after `since`. Returns the
-- list of the fire times before the next one; the list of the start positions of these fire times
-- and of the next one; and the due time of the next one. The due time is nil if there is no next
-- fire time.
local function split(times, since)
  local older, starts = {}, {}
  for start, text in string.gmatch(times, '()([^,]+)') do
    local due_ms, fire_ms = fire_times.first(text)
    starts[#starts + 1] = start
    if due_ms >= since then return older, starts, due_ms end
    older[#older + 1] = fire_ms
  end
  return older, starts
end

-- Drops fire times that were missed: they were due more than `grace_ms` ago. Returns the text of
-- the remaining fire times, the dropped fire times, and whether the schedule must wait for
-- planning.
--
-- The policy decides which missed fire times remain:
--   skip: none.
--   latest: the newest one. None if a later fire time is already due.
--   all: the newest ones, up to `limit`.
--
-- If all stored fire times are missed, later fire times that are not stored yet may be missed, too.
-- Then the newest missed fire time may be one of those, so the schedule must wait until planning has
-- stored them. It need not wait if the policy drops all missed fire times.
function fire_times.drop_missed(ctx, times, grace_ms, policy, limit)
  local since, first = ctx.now - grace_ms, fire_times.first(times)
  if not first or first >= since then return times, {}, false end
  local missed, starts, next_due = split(times, since)
  local keep = 0
  if policy == 'all' then
    keep = limit
  elseif policy == 'latest' and not (next_due and next_due <= ctx.now) then
    keep = 1
  end
  local dropped = math.max(0, #missed - keep)
  local start = starts[dropped + 1]
  while #missed > dropped do table.remove(missed) end
  return start and string.sub(times, start) or '', missed, not next_due and keep > 0
end

-- Drops fire times that a forward step of the clock has passed, except the newest one. Otherwise, the
-- schedule would fire several times at once, although no time has passed. Adds the dropped fire
-- times to `missed`; returns the text of the remaining ones.
function fire_times.drop_jumped(times, missed, from_ms, to_ms)
  if not to_ms then return times end
  local due_ms, fire_ms, rest = fire_times.first(times)
  while due_ms and due_ms > from_ms do
    local next_due, next_fire, later = fire_times.first(rest)
    if not next_due or next_due > to_ms then break end
    missed[#missed + 1] = fire_ms
    times, due_ms, fire_ms, rest = rest, next_due, next_fire, later
  end
  return times
end

-- Records fire times that were skipped, and the reason. A repeated call only extends the TTL.
function fire_times.record_skipped(ctx, sid, reason, skipped)
  if #skipped == 0 then return end
  local key, scored = keys.skipped(ctx, sid), {}
  for i = math.max(1, #skipped - MAX_SKIPPED + 1), #skipped do
    scored[#scored + 1] = skipped[i]
    scored[#scored + 1] = string.format('%.0f:%s', skipped[i], reason)
  end
  redis.call('ZADD', key, unpack(scored))
  redis.call('ZREMRANGEBYRANK', key, 0, -MAX_SKIPPED - 1)
  redis.call('PEXPIRE', key, SKIPPED_KEPT_MS)
end
