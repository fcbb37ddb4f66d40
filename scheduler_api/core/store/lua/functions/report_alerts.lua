-- Records changes in the state of the cell, and hands out the messages about them that are to be
-- sent now.
--
-- Keys: prefix.
-- Options:
--   changes: a list of {subject, whether something is wrong with it ('1') or no longer ('0'), an id
--     for the message, the message}.
--   settled: a list of {subject, id} of messages that were sent, or that nobody can send.
--   interval_ms: the shortest time between two messages about one subject. A change that is
--     reverted within this time has no message.
--   per_minute: how many messages are made in a minute. Further changes have to be reported again.
--   retry_after_ms: for each try, how long nobody else gets the message.
-- Args: none.
-- Answer per message: subject, id, number of this try, when the message was made, the message.
-- Atomic: of several processes that report the same change, one makes a message, and one at a time
--   gets it. A repeated call hands out nothing that the first one has handed out.

-- A value is `<1 if something is wrong, or 0> <when the last message was made> <its id, or '-' if it
-- is settled> <tries> <time of the next try> <message>`. There is a new message about a subject only
-- after the last one was settled, so messages arrive in order.
local VALUE, SETTLED = '^([01]) (%d+) (%S+) (%d+) (%d+) (.*)$', '-'
-- The field with the start of the present minute, and the number of messages made in it.
local MADE, MINUTE_MS = '', 60000

local function parse(value)
  local is_wrong, at, id, tries, next_ms, message = string.match(value or '', VALUE)
  if not is_wrong then return {is_wrong = '0', at = 0, id = SETTLED} end
  return {is_wrong = is_wrong, at = tonumber(at), id = id, tries = tonumber(tries),
    next_ms = tonumber(next_ms), message = message}
end

local function save(key, subject, state)
  redis.call('HSET', key, subject, table.concat({state.is_wrong, state.at, state.id, state.tries,
    state.next_ms, state.message}, ' '))
end

-- Counts a message; returns whether it may be made in this minute.
local function take_room(ctx, key)
  local since, made = string.match(redis.call('HGET', key, MADE) or '', '^(%d+) (%d+)$')
  if not since or math.abs(ctx.now - since) >= MINUTE_MS then since, made = ctx.now, 0 end
  if tonumber(made) >= ctx.options.per_minute then return false end
  redis.call('HSET', key, MADE, since .. ' ' .. made + 1)
  return true
end

local function change(ctx, key, subject, is_wrong, id, message)
  local state = parse(redis.call('HGET', key, subject))
  local is_too_early = math.abs(ctx.now - state.at) < ctx.options.interval_ms
  if state.id ~= SETTLED or state.is_wrong == is_wrong or is_too_early then return end
  if not take_room(ctx, key) then return end
  save(key, subject, {is_wrong = is_wrong, at = ctx.now, id = id, tries = 0, next_ms = 0,
    message = message})
end

local function settle(key, subject, id)
  local state = parse(redis.call('HGET', key, subject))
  if state.id ~= id then return end
  state.id = SETTLED
  save(key, subject, state)
end

-- Returns the message of a subject if it is to be sent now. Forgets a subject that is well.
local function hand_out(ctx, key, subject, state)
  local options = ctx.options
  if state.id == SETTLED then
    local is_old = math.abs(ctx.now - state.at) >= options.interval_ms
    if state.is_wrong == '0' and is_old then redis.call('HDEL', key, subject) end
    return nil
  end
  if state.next_ms > ctx.now then return nil end
  state.tries = state.tries + 1
  local after_ms = options.retry_after_ms
  state.next_ms = ctx.now + after_ms[math.min(state.tries, #after_ms)]
  save(key, subject, state)
  return {subject, state.id, state.tries, state.at, state.message}
end

local function report_alerts(key_names, args)
  local ctx, messages = context.new(key_names, args), {}
  local key = keys.alerts(ctx)
  for _, each in ipairs(ctx.options.settled) do settle(key, unpack(each)) end
  for _, each in ipairs(ctx.options.changes) do change(ctx, key, unpack(each)) end
  local stored = redis.call('HGETALL', key)
  for i = 1, #stored, 2 do
    if stored[i] ~= MADE then
      messages[#messages + 1] = hand_out(ctx, key, stored[i], parse(stored[i + 1]))
    end
  end
  return messages
end

redis.register_function{function_name = 'report_alerts_' .. VERSION, callback = report_alerts,
  flags = {'allow-oom'}}
