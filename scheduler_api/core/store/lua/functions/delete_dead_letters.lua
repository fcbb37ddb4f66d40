-- Deletes dead letters: they are no longer listed as dead letters. The records of the events are
-- kept for as long as those of other finished events.
--
-- Keys: prefix.
-- Options: owner, change (nonce of this deletion), job (counts the letters, see lib/endings).
-- Args: ids…
-- Answer per id: 1 if the event was a dead letter of the owner, otherwise 0.
-- Atomic per event. A repeated call with the same nonce gets the same answer, because the event
-- stores the nonce.
local CLEARED = records.fields(records.EVENT, 'owner', 'state', 'change')

local function delete(ctx, id)
  local options = ctx.options
  local event = endings.read_dead_letter(ctx, id, options.owner)
  if event then
    endings.clear(ctx, id, event, options.change)
    return 1, true
  end
  local before = records.read(keys.event(ctx, id), CLEARED)
  return before.owner == options.owner and before.state == 'cleared'
    and before.change == options.change and 1 or 0
end

local function delete_dead_letters(key_names, args)
  local ctx, replies, cleared = context.new(key_names, args), {}, 0
  for i = 2, #args do
    local ok, answer, is_new = pcall(delete, ctx, args[i])
    replies[#replies + 1] = ok and answer or 0
    if ok and is_new then cleared = cleared + 1 end
  end
  endings.count_in_job(ctx, cleared)
  return replies
end

redis.register_function{function_name = 'delete_dead_letters_' .. VERSION,
  callback = delete_dead_letters, flags = {'allow-oom'}}
