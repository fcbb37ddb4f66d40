-- Part of claim: the stored fire times of a schedule, as text and as a list.
-- Expects grace_ms.

local function listed(text)
  local times = {}
  if string.find(text, '[^%d,]') then error('times cannot be read: ' .. text, 0) end
  for at in string.gmatch(text, '%d+') do times[#times + 1] = tonumber(at) end
  return times
end

-- Fire times older than the grace are missed. The schedule's policy says how many of the
-- newest are still wanted: none (skip), the newest, unless a younger one is past (latest), or
-- as many as its bound (all). They wait while the list does not show that they are the newest:
-- planning will tell.
local function drop_missed(times, policy, bound)
  local old, newest = 0, nil
  while times[old + 1] and times[old + 1] < now - grace_ms do old = old + 1 end
  local younger, keep = times[old + 1], 0
  if policy == 'all' then
    keep = bound
  elseif policy == 'latest' and not (younger and younger <= now) then
    keep = 1
  end
  for _ = 1, old - keep do newest = table.remove(times, 1) end
  return math.max(0, old - keep), newest, old > 0 and keep > 0 and not younger
end

local function join(times)
  local words = {}
  for i, at in ipairs(times) do words[i] = string.format('%.0f', at) end
  return table.concat(words, ',')
end
