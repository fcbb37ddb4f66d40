-- Part of claim, plan, run and schedule_put: the stored fire times of a schedule, a text: when
-- each is wanted, or `<when wanted>:<fire time>`, in ms, by commas. Expects nothing.

-- When the first is wanted, the fire time that it is, and the rest; nil if there is none.
local function first_time(times)
  local at, nominal, rest = string.match(times, '^(%d+):?(%d*),?(.*)$')
  if at then return tonumber(at), tonumber(nominal) or tonumber(at), rest end
end

local function readable(times)
  if string.find(times, '[^%d:,]') then error('times cannot be read: ' .. times, 0) end
  return times
end

local function count(times)
  return times == '' and 0 or select(2, string.gsub(times, ',', '')) + 1
end

-- The stored ones, and of `later` what comes after them and after the last one used: fire times
-- rise, also when the clock was set back.
local function joined(stored, later, last)
  local kept = stored ~= '' and {stored} or {}
  local newest = tonumber(string.match(stored, '(%d+)$') or last)
  for word in string.gmatch(later, '[^,]+') do
    local _, nominal = first_time(word)
    if nominal > newest then kept[#kept + 1] = word end
  end
  return table.concat(kept, ',')
end
