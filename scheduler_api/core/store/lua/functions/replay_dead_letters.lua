-- Replays dead letters. For each dead letter, stores a new event and clears the dead letter.
--
-- Keys: prefix.
-- Options: tenant_limits, see lib/tenant_limits; job (counts the letters, see lib/endings).
-- Args per dead letter: the id of the dead letter, then the new event (see lib/new_events).
-- Answer per dead letter: {code, due ms, created ms, id of the new event}. Codes: see
--   `new_events.accept`, and two more:
--   gone: the id does not belong to a dead letter of the owner.
--   fault: the dead letter is unreadable. The answer contains the error in place of the id.
-- Atomic per dead letter: a crash neither loses a dead letter nor replays it twice. A repeated call
-- gets the same answer, because the new event stores its nonce.

local function replay(ctx, batch, args, at)
  local dead, item = args[at], new_events.item(args, at + 1)
  local event = endings.read_dead_letter(ctx, dead, item.owner)
  if not event then
    local id = item.id ~= '' and item.id or new_events.issued_id(ctx, item.nonce)
    return new_events.created_before(ctx, id, item.nonce) or {'gone', 0, 0, id}
  end
  local answer = new_events.accept(ctx, batch, item)
  if answer[1] == 'ok' then
    new_events.place(ctx, batch)
    endings.clear(ctx, dead, event, item.nonce)
    return answer, true
  end
  return answer
end

local function replay_dead_letters(key_names, args)
  local ctx, batch, replies = context.new(key_names, args), new_events.batch(), {}
  local cleared = 0
  for i = 2, #args, new_events.WIDTH + 1 do
    local ok, answer, is_new = pcall(replay, ctx, batch, args, i)
    replies[#replies + 1] = ok and answer or {'fault', 0, 0, errors.text(answer)}
    if ok and is_new then cleared = cleared + 1 end
  end
  endings.count_in_job(ctx, cleared)
  return replies
end

redis.register_function{function_name = 'replay_dead_letters_' .. VERSION,
  callback = replay_dead_letters, flags = {'allow-oom'}}
