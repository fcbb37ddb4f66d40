-- Tells how attempts at destinations went; opens and closes their breakers.
-- KEYS[1] prefix
-- ARGV: now, least attempts in a window that open one, percent of them that must have failed,
--   window ms, ms that it stays open before the first probe, most ms (each failed probe doubles
--   them), attempts per second that a ramp begins with; then 3 per destination: gate, attempts,
--   failures
-- Returns per destination what became of its breaker: opened, shut (a probe failed), closed, or ''.
-- Atomic for each. A repeat counts twice.

--# include lift
local least, percent, window_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hold_ms, most_ms, ramp = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
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

local function shut_for(gate, ms, tries)
  shut_gate(gate, now + ms, 'br', 1, 'bk', tries, 'sh', now + ms)
  redis.call('HDEL', gate_key(gate), 'rp', 'rr')
  redis.call('DEL', health_key(gate))
  place_gate(gate)
end

local function close(gate)
  redis.call('HDEL', gate_key(gate), 'br', 'bk', 'sh')
  redis.call('HSET', gate_key(gate), 'rp', now, 'rr', ramp)
  grant(gate)
  return 'closed'
end

local function report(gate, attempts, failures)
  local state = read(gate_key(gate), 'br', 'bk', 'sh')
  if state.br then
    if whole(state, 'sh') > now then return '' end
    if failures < attempts then return close(gate) end
    local tries = whole(state, 'bk', 0) + 1
    shut_for(gate, math.min(most_ms, hold_ms * 2 ^ math.min(tries, 20)), tries)
    return 'shut'
  end
  local all, failed = counted(gate, attempts, failures)
  if least == 0 or all < least or failed * 100 < percent * all then return '' end
  shut_for(gate, hold_ms, 0)
  return 'opened'
end

local answers = {}
for i = 8, #ARGV, 3 do
  local ok, answer = pcall(report, ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
  answers[#answers + 1] = ok and answer or ''
end
return answers
