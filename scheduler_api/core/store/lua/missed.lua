-- Part of claim: which stored fire times are missed. Expects grace_ms; defines drop_missed.

-- The fire times that are older than the grace, and where each stands in the text; last where the
-- first younger one does, and when that is wanted.
local function old_ones(times)
  local nominals, starts = {}, {}
  for from, word in string.gmatch(times, '()([^,]+)') do
    local at, nominal = first_time(word)
    starts[#starts + 1] = from
    if at >= now - grace_ms then return nominals, starts, at end
    nominals[#nominals + 1] = nominal
  end
  return nominals, starts
end

-- What is older than the grace is missed. The schedule's policy says how many of the newest are
-- still wanted: none (skip), the newest, unless a younger one is past (latest), or as many as its
-- bound (all). They wait while the list does not show that they are the newest: planning will
-- tell. Answers what stays, the fire times dropped, and whether to wait.
local function drop_missed(times, policy, bound)
  local first = first_time(times)
  if not first or first >= now - grace_ms then return times, {}, false end
  local nominals, starts, younger = old_ones(times)
  local keep, waits = 0, not younger
  if policy == 'all' then
    keep = bound
  elseif policy == 'latest' and not (younger and younger <= now) then
    keep = 1
  end
  local dropped = math.max(0, #nominals - keep)
  local from = starts[dropped + 1]
  while #nominals > dropped do table.remove(nominals) end
  return from and string.sub(times, from) or '', nominals, waits and keep > 0
end
