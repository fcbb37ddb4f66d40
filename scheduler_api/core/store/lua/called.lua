-- Part of begin: calls the ticker that waits for room in RQ. Expects nothing; defines wake_stalled.

-- What waits was written down by its claim: the most jobs that may wait, and the list they do in.
local function wake_stalled()
  local most, list = string.match(redis.call('GET', STALLED) or '', '^(%d+) (.*)$')
  if not most or redis.call('LLEN', list) >= tonumber(most) then return end
  redis.call('DEL', STALLED)
  redis.call('PUBLISH', P .. 'wake', '')
end
