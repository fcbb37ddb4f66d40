-- Cancels events, also between and during their attempts. One that is being sent is asked to stop:
-- it ends delivered if this attempt succeeds, cancelled otherwise.
--
-- Keys: prefix.
-- Options: owner, change (name of this cancellation).
-- Args: ids…
-- Answer per id: cancelled, requested, already_requested, ended, missing.
-- Atomic per event. A repeat is answered as the first time: an event remembers the change.
local EVENT = records.EVENT
local CANCELLED = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule', 'journaled',
  'state', 'token', 'cancel_requested_ms', 'attempts', 'change', 'following', 'gates', 'waits_at',
  'passed_over')

local function cancel(ctx, id)
  local owner, change = ctx.options.owner, ctx.options.change
  local event = records.read(keys.event(ctx, id), CANCELLED)
  if event.owner ~= owner then return 'missing' end
  if event.change == change then return event.cancel_requested_ms and 'requested' or 'cancelled' end
  if event.state then return 'ended' end
  if event.cancel_requested_ms then return 'already_requested' end
  return endings.cancel(ctx, id, event, EVENT.change, change) and 'requested' or 'cancelled'
end

local function cancel_events(key_names, args)
  local ctx, answers = context.new(key_names, args), {}
  for i = 2, #args do
    local ok, answer = pcall(cancel, ctx, args[i])
    answers[#answers + 1] = ok and answer or 'missing'
  end
  return answers
end

redis.register_function{function_name = 'cancel_events_' .. VERSION, callback = cancel_events,
  flags = {'allow-oom'}}
