-- The stored fire times of a schedule, and the record of skipped fire times.
--
-- Fire times are stored as a text, ascending and separated by commas. Each one is `<due ms>` or,
-- with jitter, `<due ms>:<fire time ms>`.
local MAX_SKIPPED, SKIPPED_KEPT_MS = 1000, 30 * 86400000

-- Returns the due time of the first fire time, the first fire time itself, and the rest of the
-- text; or nil if the text is empty.
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

-- Appends to `stored` the fire times in `later` that are after all stored fire times, or after the
-- last used fire time if none is stored. So the stored fire times ascend even if the clock was set
-- back.
function fire_times.join(stored, later, last_used)
  local joined = stored ~= '' and {stored} or {}
  local newest = tonumber(string.match(stored, '(%d+)$') or last_used)
  for text in string.gmatch(later, '[^,]+') do
    local _, fire_ms = fire_times.first(text)
    if fire_ms > newest then joined[#joined + 1] = text end
  end
  return table.concat(joined, ',')
end

-- Splits the text at the first fire time that is due at or after `since`. Returns the fire times
-- before this one; the start positions in the text, of those and of this one; and the due time of
-- this one, or nil if there is none.
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

-- Drops missed fire times: those that were due more than `grace_ms` ago. The policy decides which
-- missed fire times still run. skip: none. latest: only the newest, and not even this one if a
-- later fire time is due. all: the newest `limit`.
--
-- If all stored fire times are missed, the rule may have later fire times that are not stored yet
-- and are missed, too. One of those may be the newest, so planning must store them before any
-- occurrence is created. Returns the remaining text, the dropped fire times, and whether to wait
-- for planning.
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

-- Records skipped fire times with the reason for which they were skipped. A repeated call only
-- extends the TTL.
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
