-- Part of report: how a destination fares. Expects window_ms; defines counted.
local PARTS = 6

-- Attempts and failures of a window, counted in six parts of it.
local function counted(gate, attempts, failures)
  local key, size = health_key(gate), math.ceil(window_ms / PARTS)
  local part, sums = math.floor(now / size), {a = 0, f = 0}
  redis.call('HINCRBY', key, 'a' .. part, attempts)
  redis.call('HINCRBY', key, 'f' .. part, failures)
  redis.call('PEXPIRE', key, window_ms + size)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local kind, at = string.match(fields[i], '^([af])(%d+)$')
    if tonumber(at) <= part - PARTS or tonumber(at) > part then redis.call('HDEL', key, fields[i])
    else sums[kind] = sums[kind] + tonumber(fields[i + 1]) end
  end
  return sums.a, sums.f
end
