-- Tells how attempts at destinations went; opens and closes their breakers.
-- KEYS[1] prefix
-- ARGV: now, token `<worker>:<number>`, least attempts in a window that open one, percent of them
--   that must have failed, window ms, ms that it stays open before the first probe, most ms (each
--   failed probe doubles them), attempts per second that a ramp begins with; then 3 per
--   destination: gate, attempts, failures
-- Returns per destination what became of its breaker: opened, shut (a probe failed), closed, or ''.
-- Atomic for each. May run twice: the same token again is answered as the first time.

--# include lift
local least, percent, window_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local hold_ms, most_ms, ramp = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local worker, number = string.match(ARGV[2], '^(.*):(.*)$')
local TOLD_MS = 60000

--# include health

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

-- What this token was answered before, if it was.
local function told()
  local answered = redis.call('GET', told_key(worker)) or ''
  local last, kept = string.match(answered, '^(%d+) (.*)$')
  if last ~= number then return nil end
  local answers = {}
  for answer in string.gmatch(kept, '(%a*),') do answers[#answers + 1] = answer end
  return answers
end

local answers = told()
if answers then return answers end
answers = {}
local kept = number .. ' '
for i = 9, #ARGV, 3 do
  local ok, answer = pcall(report, ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
  answers[#answers + 1] = ok and answer or ''
  kept = kept .. answers[#answers] .. ','
end
redis.call('SET', told_key(worker), kept, 'PX', TOLD_MS)
return answers
