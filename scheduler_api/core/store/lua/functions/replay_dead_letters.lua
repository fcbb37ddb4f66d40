-- Sends dead letters again: a new event takes the place of each.
--
-- Keys: prefix.
-- Options: none.
-- Args per dead letter: the id of its event, then the new event (see lib/new_events).
-- Answer per dead letter: as of create_events; also the codes gone (it is no dead letter of the
--   owner's) and fault (it could not be read; the id is the error's text).
-- Atomic per dead letter, so that a crash neither loses nor doubles one. A repeat is answered as
-- the first time: a new id remembers its nonce.

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
  end
  return answer
end

local function replay_dead_letters(key_names, args)
  local ctx, batch, answers = context.new(key_names, args), new_events.batch(), {}
  for i = 2, #args, new_events.WIDTH + 1 do
    local ok, answer = pcall(replay, ctx, batch, args, i)
    answers[#answers + 1] = ok and answer or {'fault', 0, 0, errors.text(answer)}
  end
  return answers
end

redis.register_function{function_name = 'replay_dead_letters_' .. VERSION,
  callback = replay_dead_letters, flags = {'allow-oom'}}
