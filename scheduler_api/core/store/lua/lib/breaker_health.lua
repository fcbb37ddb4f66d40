-- Counts attempts at an origin or route in a time window, which consists of six parts.
local PARTS = 6

-- Returns the numbers of attempts, failures and successes that are stored.
function breaker_health.totals(ctx, gate)
  local sums, stored = {a = 0, f = 0, s = 0}, redis.call('HGETALL', keys.health(ctx, gate))
  for i = 1, #stored, 2 do
    local kind = string.sub(stored[i], 1, 1)
    if sums[kind] then sums[kind] = sums[kind] + tonumber(stored[i + 1]) end
  end
  return sums.a, sums.f, sums.s
end

local function remove_old(ctx, key, part)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local number = tonumber(string.match(field, '^[afs](%d+)$'))
    if number and (number <= part - PARTS or number > part) then redis.call('HDEL', key, field) end
  end
end

-- Adds attempts, failures and successes. Returns their numbers in the window.
function breaker_health.count(ctx, gate, attempts, failures, successes, window_ms)
  local key, size = keys.health(ctx, gate), math.ceil(window_ms / PARTS)
  local part = math.floor(ctx.now / size)
  redis.call('HINCRBY', key, 'a' .. part, attempts)
  redis.call('HINCRBY', key, 'f' .. part, failures)
  redis.call('HINCRBY', key, 's' .. part, successes)
  redis.call('HSETNX', key, 'began', ctx.now)
  redis.call('PEXPIRE', key, window_ms + size)
  remove_old(ctx, key, part)
  return breaker_health.totals(ctx, gate)
end

-- Returns the rate of counted attempts: their number, divided by the time since the first of them.
-- Reports are sent once a second, so this time is at least a second.
function breaker_health.per_s(ctx, gate, attempts, window_ms)
  local began_ms = tonumber(redis.call('HGET', keys.health(ctx, gate), 'began'))
  local elapsed_ms = math.min(window_ms, ctx.now - began_ms)
  return attempts * 1000 / math.max(1000, elapsed_ms)
end

-- Counts responses in a row that asked for a delay. `all` is whether the report has no other
-- outcome. Returns the number.
function breaker_health.count_delays(ctx, gate, delays, all, window_ms)
  local key = keys.health(ctx, gate)
  if not all then redis.call('HDEL', key, 'delays') end
  if delays == 0 then return 0 end
  local count = redis.call('HINCRBY', key, 'delays', delays)
  redis.call('PEXPIRE', key, window_ms)
  return count
end
