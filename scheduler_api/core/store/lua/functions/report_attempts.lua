-- Counts attempts and failures at destinations, and opens and closes the breakers of the
-- destinations.
--
-- Keys: prefix.
-- Options:
--   token: `<worker>:<number of the report>`.
--   attempts: a breaker opens only after this many attempts in a window. 0: breakers never open.
--   percent: a breaker opens if this percentage of the attempts in a window failed.
--   window_ms: the length of a window.
--   hold_ms: the time from the opening of a breaker to the first probe.
--   longest_hold_ms: the longest time from a failed probe to the next probe. Each failed probe
--     doubles the time to the next one, up to this limit.
--   ramp_per_s: events per second that the destination admits at first after its breaker closes.
-- Args per destination: gate, attempts, failures.
-- Answer per destination: opened, closed, probe_failed (the breaker stays open), or '' (no change).
-- Atomic per destination. A repeated call with the same token gets the same answers.
local GATE = records.GATE
local REPEATED_FOR_MS = 60000
local BREAKER = records.fields(GATE, 'breaker_open', 'probes_failed', 'closed_until_ms')

local function open_for(ctx, gate, ms, probes_failed)
  local until_ms = ctx.now + ms
  gates.hold_destination(ctx, gate, until_ms, GATE.breaker_open, 1, GATE.probes_failed,
    probes_failed, GATE.closed_until_ms, until_ms)
  redis.call('HDEL', keys.gate(ctx, gate), GATE.ramp_since_ms, GATE.ramp_rate)
  redis.call('DEL', keys.health(ctx, gate))
  gates.plan_check(ctx, gate)
end

local function close(ctx, gate)
  local key = keys.gate(ctx, gate)
  redis.call('HDEL', key, GATE.breaker_open, GATE.probes_failed, GATE.closed_until_ms)
  redis.call('HSET', key, GATE.ramp_since_ms, ctx.now, GATE.ramp_rate, ctx.options.ramp_per_s)
  slots.promote_waiters(ctx, gate)
  return 'closed'
end

local function report(ctx, gate, attempts, failures)
  local options, state = ctx.options, records.read(keys.gate(ctx, gate), BREAKER)
  if state.breaker_open then
    if records.integer(state, 'closed_until_ms') > ctx.now then return '' end
    if failures < attempts then return close(ctx, gate) end
    local probes = records.integer(state, 'probes_failed', 0) + 1
    local hold_ms = options.hold_ms * 2 ^ math.min(probes, 20)
    open_for(ctx, gate, math.min(options.longest_hold_ms, hold_ms), probes)
    return 'probe_failed'
  end
  local all, failed = breaker_health.count(ctx, gate, attempts, failures, options.window_ms)
  local minimum = options.attempts
  if minimum == 0 or all < minimum or failed * 100 < options.percent * all then return '' end
  open_for(ctx, gate, options.hold_ms, 0)
  return 'opened'
end

-- Returns the answers that an earlier call with the same token got, or nil.
local function previous_replies(ctx, worker, number)
  local last, stored =
    string.match(redis.call('GET', keys.last_report(ctx, worker)) or '', '^(%d+) (.*)$')
  if last ~= number then return nil end
  local replies = {}
  for answer in string.gmatch(stored, '([%a_]*),') do replies[#replies + 1] = answer end
  return replies
end

local function report_attempts(key_names, args)
  local ctx, replies = context.new(key_names, args), {}
  local worker, number = string.match(ctx.options.token, '^(.*):(.*)$')
  local before = previous_replies(ctx, worker, number)
  if before then return before end
  local stored = number .. ' '
  for i = 2, #args, 3 do
    local ok, answer =
      pcall(report, ctx, args[i], tonumber(args[i + 1]), tonumber(args[i + 2]))
    replies[#replies + 1] = ok and answer or ''
    stored = stored .. replies[#replies] .. ','
  end
  redis.call('SET', keys.last_report(ctx, worker), stored, 'PX', REPEATED_FOR_MS)
  return replies
end

redis.register_function{function_name = 'report_attempts_' .. VERSION, callback = report_attempts,
  flags = {'allow-oom'}}
