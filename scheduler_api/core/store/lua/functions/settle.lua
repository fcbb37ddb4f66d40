-- Records how attempts ended. A worker can settle its running attempt. After an interruption, a
-- worker can still settle the interrupted attempt until another attempt begins.
--
-- Keys: prefix.
-- Options: none.
-- Args per attempt: id, token, attempt number, outcome (delivered, retry, dead, interrupted or
--   unsent), delay of the retry in ms, reason of a dead letter or '', log entry (JSON), number of
--   callbacks; then the arguments of the callbacks (see lib/callbacks). After `interrupted` and
--   `unsent`, the event is due again, and the attempt counts neither as a failure nor as an
--   interruption. `interrupted`: the worker cannot know the outcome. `unsent`: it has sent nothing.
-- Answer per attempt: {id, code, time of the retry in ms or 0}.
-- Codes:
--   settled: this call has settled the attempt.
--   repeated: an earlier call settled the attempt.
--   late: another attempt has begun, or the event has ended. The call has only logged the attempt.
--   gone: the event does not exist.
--   quarantined: the event is unreadable.
-- Atomic per attempt. A repeated call gets the code repeated and changes nothing.
local EVENT = records.EVENT
local WIDTH = 8
local WITHOUT_OUTCOME = {interrupted = true, unsent = true}
local SETTLED = records.fields(records.EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule',
  'state', 'token', 'interrupted_token', 'journaled', 'cancel_requested_ms', 'end_ms', 'strict',
  'pauses', 'following', 'gates', 'waits_at', 'passed_over')

-- Logs the outcome of an attempt that is settled too late. The new log entry replaces the entry of
-- an interrupted attempt. If an earlier call settled the attempt, the log stays as it is.
local function settle_late(ctx, id, number, entry)
  local logged = redis.call('HGET', keys.log(ctx, id), number)
  if logged and string.sub(logged, 1, 1) == 'a' then return {id, 'repeated', 0} end
  journal.log_attempt(ctx, id, number, 'l', 0, entry)
  return {id, 'late', 0}
end

-- Takes back that a claim has counted an attempt as an interruption: the worker that made the
-- attempt has not died of it.
local function uncount_interruption(ctx, id)
  local key = keys.event(ctx, id)
  redis.call('HDEL', key, EVENT.interrupted_token)
  if redis.call('HINCRBY', key, EVENT.interruptions, -1) < due.ISOLATED_FROM then
    redis.call('SREM', keys.isolated(ctx), id)
  end
end

-- Makes an event due again after an attempt without an outcome.
local function settle_without_outcome(ctx, id, event, number, outcome, entry)
  local key = keys.event(ctx, id)
  if outcome == 'interrupted' then
    journal.append(ctx, event, id, 'failed', number)
    journal.log_attempt(ctx, id, number, 'i', ctx.now, entry)
    redis.call('HSET', key, EVENT.may_repeat, 1)
  elseif redis.call('HINCRBY', key, EVENT.attempts, -1) == 0 then
    redis.call('HDEL', key, EVENT.attempts)
  end
  redis.call('HSET', key, EVENT.updated_ms, ctx.now)
  redis.call('HDEL', key, EVENT.token, EVENT.interrupted_token, EVENT.renewable_until_ms)
  endings.offer_again(ctx, id, slots.read(ctx, id))
  slots.promote_at_freed(ctx)
  return {id, 'settled', ctx.now}
end

-- Settles one attempt. Adds an event that has ended to `batch`. The arguments of its callbacks start at `first` and end before `last`.
local function settle(ctx, batch, first, last, id, token, number, outcome, delay, reason, entry)
  local key = keys.event(ctx, id)
  local event = records.read(key, SETTLED)
  if not records.exists(key, event) then return {id, 'gone', 0} end
  local valid = event.token == token or (event.interrupted_token == token and not event.token)
  if WITHOUT_OUTCOME[outcome] and not event.state and event.interrupted_token == token then
    uncount_interruption(ctx, id)
    return {id, 'settled', 0}
  end
  if event.state or not valid then
    if WITHOUT_OUTCOME[outcome] then return {id, 'late', 0} end
    return settle_late(ctx, id, number, entry)
  end
  local next_ms = 0
  if event.cancel_requested_ms and outcome ~= 'delivered' then
    outcome, last = 'cancelled', first
  end
  if WITHOUT_OUTCOME[outcome] then
    return settle_without_outcome(ctx, id, event, number, outcome, entry)
  end
  if outcome == 'retry' then
    outcome, reason, next_ms =
      withdrawal.bound_retry(ctx, id, event, reason, ctx.now + tonumber(delay))
  end
  journal.log_attempt(ctx, id, number, 'a', next_ms, entry)
  if outcome ~= 'delivered' then journal.append(ctx, event, id, 'failed', number) end
  for at = first, last - 1, callbacks.WIDTH do callbacks.create(ctx, id, event, at) end
  event.attempts = number
  if outcome == 'retry' then endings.retry(ctx, id, event, next_ms)
  else endings.record(ctx, batch, id, event, outcome, reason ~= '' and reason or nil) end
  return {id, 'settled', next_ms}
end

local function settle_attempts(key_names, args)
  local ctx, batch, replies, i = context.new(key_names, args), endings.batch(), {}, 2
  while i <= #args do
    local first = i + WIDTH
    local last = first + tonumber(args[first - 1]) * callbacks.WIDTH
    local ok, reply = pcall(settle, ctx, batch, first, last, unpack(args, i, first - 2))
    if not ok then
      due.quarantine(ctx, args[i], reply)
      reply = {args[i], 'quarantined', 0}
    end
    replies[#replies + 1], i = reply, last
  end
  local failed = endings.place(ctx, batch)
  for _, reply in ipairs(replies) do
    if failed[reply[1]] then reply[2], reply[3] = 'quarantined', 0 end
  end
  return replies
end

redis.register_function{function_name = 'settle_' .. VERSION, callback = settle_attempts,
  flags = {'allow-oom'}}
