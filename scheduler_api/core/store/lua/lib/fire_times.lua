-- The stored fire times of a schedule: a text of `<due ms>` or `<due ms>:<fire time ms>`, separated
-- by commas and ascending; and the record of those that were skipped.
local MOST_SKIPPED, SKIPPED_KEPT_MS = 1000, 30 * 86400000

-- When the first is due, its fire time, and the rest of the text; nil if there is none.
function fire_times.first(times)
  local due_ms, fire_ms, rest = string.match(times, '^(%d+):?(%d*),?(.*)$')
  if due_ms then return tonumber(due_ms), tonumber(fire_ms) or tonumber(due_ms), rest end
end

function fire_times.checked(times)
  if string.find(times, '[^%d:,]') then error('fire_times is not readable: ' .. times, 0) end
  return times
end

function fire_times.count(times)
  return times == '' and 0 or select(2, string.gsub(times, ',', '')) + 1
end

-- The stored ones and, of `later`, those after them and after the last one used: fire times ascend
-- even when the clock was set back.
function fire_times.join(stored, later, last_used)
  local kept = stored ~= '' and {stored} or {}
  local newest = tonumber(string.match(stored, '(%d+)$') or last_used)
  for word in string.gmatch(later, '[^,]+') do
    local _, fire_ms = fire_times.first(word)
    if fire_ms > newest then kept[#kept + 1] = word end
  end
  return table.concat(kept, ',')
end

-- Reads the text up to the first fire time that is not before `since`. Returns the fire times
-- before it, the positions of all that were read (the last is that first one's), and when it is
-- due.
local function before(times, since)
  local found, starts = {}, {}
  for from, word in string.gmatch(times, '()([^,]+)') do
    local due_ms, fire_ms = fire_times.first(word)
    starts[#starts + 1] = from
    if due_ms >= since then return found, starts, due_ms end
    found[#found + 1] = fire_ms
  end
  return found, starts
end

-- Fire times older than the grace are missed. The policy decides how many of the newest still run:
-- none (skip), the newest unless a younger one is due (latest), or up to a bound (all). If all
-- stored times are missed, newer ones may be missed as well: then planning must add them before any
-- runs. Returns the text that stays, the fire times dropped, and whether to wait for that.
function fire_times.drop_missed(ctx, times, grace_ms, policy, bound)
  local since, first = ctx.now - grace_ms, fire_times.first(times)
  if not first or first >= since then return times, {}, false end
  local old, starts, younger = before(times, since)
  local keep = 0
  if policy == 'all' then
    keep = bound
  elseif policy == 'latest' and not (younger and younger <= ctx.now) then
    keep = 1
  end
  local dropped = math.max(0, #old - keep)
  local from = starts[dropped + 1]
  while #old > dropped do table.remove(old) end
  return from and string.sub(times, from) or '', old, not younger and keep > 0
end

-- Records which fire times were skipped and why. A repeat records the same again.
function fire_times.record_skipped(ctx, sid, reason, skipped)
  if #skipped == 0 then return end
  local key, words = keys.skipped(ctx, sid), {}
  for i = math.max(1, #skipped - MOST_SKIPPED + 1), #skipped do
    words[#words + 1] = skipped[i]
    words[#words + 1] = string.format('%.0f:%s', skipped[i], reason)
  end
  redis.call('ZADD', key, unpack(words))
  redis.call('ZREMRANGEBYRANK', key, 0, -MOST_SKIPPED - 1)
  redis.call('PEXPIRE', key, SKIPPED_KEPT_MS)
end
