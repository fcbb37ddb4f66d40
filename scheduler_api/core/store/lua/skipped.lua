-- Part of claim, plan, schedule_put: which fire times were skipped, and why, for people to ask.
-- Expects nothing; a repeat notes the same again.
local MOST_SKIPPED, SKIPPED_KEPT_MS = 1000, 30 * 86400000

local function note_skipped(sid, reason, nominals)
  if #nominals == 0 then return end
  local words = {}
  for i = math.max(1, #nominals - MOST_SKIPPED + 1), #nominals do
    words[#words + 1] = nominals[i]
    words[#words + 1] = string.format('%.0f:%s', nominals[i], reason)
  end
  redis.call('ZADD', skipped_key(sid), unpack(words))
  redis.call('ZREMRANGEBYRANK', skipped_key(sid), 0, -MOST_SKIPPED - 1)
  redis.call('PEXPIRE', skipped_key(sid), SKIPPED_KEPT_MS)
end

local function numbers(text)
  local found = {}
  for word in string.gmatch(text, '%d+') do found[#found + 1] = tonumber(word) end
  return found
end
