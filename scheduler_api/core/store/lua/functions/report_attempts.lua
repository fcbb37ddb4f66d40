-- Counts the outcomes of attempts at origins and routes, and changes their breakers (see
-- lib/breaker).
--
-- Keys: prefix.
-- Options:
--   token: `<worker>:<number of the report>`.
--   attempts: a breaker changes only after this many attempts in a window. 0: never.
--   percent: a breaker changes if this percentage of the attempts in a window failed.
--   window_ms: the length of a window.
--   hold_ms: the time from the opening of a breaker to the first probe.
--   longest_hold_ms: the longest time from a failed probe to the next probe.
--   deviation: a factor for these two times.
--   ramp_per_s: events per second at first after an origin was open.
--   trickle_per_s, trickle_parallelism: the limits of the trickle.
--   longest_holds: how long events may be held, by dialect: `<dialect>=<ms>`, separated by blanks.
-- Args per origin or route: gate, attempts, failures, successes, outcomes, held outcomes, delay in
--   ms, URL, cause (see `breaker.report`). An origin comes after its routes.
-- Answer per origin or route: open, half_open, slowed, closed, probe_failed (the breaker stays
--   open), or '' (no change).
-- Atomic per origin or route. A repeated call with the same token gets the same answers.
local WIDTH, REPEATED_FOR_MS = 9, 60000

-- Returns the answers that an earlier call with the same token got, or nil.
local function previous_replies(ctx, worker, number)
  local last, stored =
    string.match(redis.call('GET', keys.last_report(ctx, worker)) or '', '^(%d+) (.*)$')
  if last ~= number then return nil end
  local replies = {}
  for answer in string.gmatch(stored, '([%a_]*),') do replies[#replies + 1] = answer end
  return replies
end

local function item(args, at)
  return {
    gate = args[at], attempts = tonumber(args[at + 1]), failures = tonumber(args[at + 2]),
    successes = tonumber(args[at + 3]), outcomes = args[at + 4], held_outcomes = args[at + 5],
    delay_ms = tonumber(args[at + 6]), url = args[at + 7], cause = args[at + 8],
  }
end

local function report_attempts(key_names, args)
  local ctx, replies = context.new(key_names, args), {}
  local worker, number = string.match(ctx.options.token, '^(.*):(.*)$')
  local before = previous_replies(ctx, worker, number)
  if before then return before end
  local stored = number .. ' '
  for i = 2, #args, WIDTH do
    local ok, answer = pcall(breaker.report, ctx, item(args, i))
    replies[#replies + 1] = ok and answer or ''
    stored = stored .. replies[#replies] .. ','
  end
  redis.call('SET', keys.last_report(ctx, worker), stored, 'PX', REPEATED_FOR_MS)
  return replies
end

redis.register_function{function_name = 'report_attempts_' .. VERSION, callback = report_attempts,
  flags = {'allow-oom'}}
