-- Counts attempts and failures at a destination in a time window, which consists of six parts.
local PARTS = 6

-- Adds attempts and failures. Returns the number of attempts and the number of failures in the
-- window.
function breaker_health.count(ctx, gate, attempts, failures, window_ms)
  local key, size = keys.health(ctx, gate), math.ceil(window_ms / PARTS)
  local part, sums = math.floor(ctx.now / size), {a = 0, f = 0}
  redis.call('HINCRBY', key, 'a' .. part, attempts)
  redis.call('HINCRBY', key, 'f' .. part, failures)
  redis.call('PEXPIRE', key, window_ms + size)
  local stored = redis.call('HGETALL', key)
  for i = 1, #stored, 2 do
    local kind, number = string.match(stored[i], '^([af])(%d+)$')
    number = tonumber(number)
    if number <= part - PARTS or number > part then redis.call('HDEL', key, stored[i])
    else sums[kind] = sums[kind] + tonumber(stored[i + 1]) end
  end
  return sums.a, sums.f
end
