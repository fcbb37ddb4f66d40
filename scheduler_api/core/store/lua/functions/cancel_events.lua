-- Cancels events. An event that is being sent is not cancelled at once. The call only records the
-- request, and the event ends with its attempt: as delivered if the attempt succeeds, otherwise as
-- cancelled.
--
-- Keys: prefix.
-- Options: owner, change (nonce of this cancellation).
-- Args: ids…
-- Answer per id:
--   cancelled: the event has ended as cancelled.
--   requested: the event is being sent, and the call has recorded the request.
--   already_requested: the event is being sent, and another call has recorded a request.
--   ended: the event ended before this call.
--   missing: the owner has no such event.
-- Atomic per event. A repeated call with the same nonce gets the same answer, because the event
-- stores the nonce.
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
  local ctx, replies = context.new(key_names, args), {}
  for i = 2, #args do
    local ok, answer = pcall(cancel, ctx, args[i])
    replies[#replies + 1] = ok and answer or 'missing'
  end
  return replies
end

redis.register_function{function_name = 'cancel_events_' .. VERSION, callback = cancel_events,
  flags = {'allow-oom'}}
