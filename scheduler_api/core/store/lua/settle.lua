-- Writes down how attempts ended; valid with the token of the last begin, or with the token
-- that an interruption took away while nobody began anew. Atomic: log, state and place agree.
-- KEYS[1] prefix
-- ARGV: now; then 8 per attempt: id, token, attempt number, outcome (delivered, retry, dead),
--   delay ms of the retry, reason of a dead letter or '', log line (JSON), number of events that
--   follow from it (callbacks), and 7 for each of those: id, nonce, delay ms, deadline of an
--   attempt in ms, what to send ('' if it was written beforehand under the nonce), destination,
--   its host
-- Returns per attempt {id, code, next ms}: settled, again (a repeat), late (only logged), gone.

local WIDTH, CHILD_WIDTH = 8, 7

--# seldom others
--# include standing
--# include new
--# include follow
--# include withdraw
--# end
--# include lift
--# include again

-- A late outcome may replace the line of its interruption, never a settled one.
local function too_late(id, number, line)
  local known = redis.call('HGET', log_key(id), number)
  if known and string.sub(known, 1, 1) == 'a' then return {id, 'again', 0} end
  log_attempt(id, number, 'l', 0, line)
  return {id, 'late', 0}
end

local function settle(children, id, token, number, outcome, delay, reason, line)
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'st', 'tok', 'ptok', 'j', 'cr', 'end',
    'sr', 'pn', 'nx', 'g', 'l', 'ps')
  if not known(event_key(id), event) then return {id, 'gone', 0} end
  local holds = event.tok == token or (event.ptok == token and not event.tok)
  if event.st or not holds then return too_late(id, number, line) end
  if event.cr and outcome ~= 'delivered' then outcome, children = 'cancelled', {} end
  local at = 0
  if outcome == 'retry' then
    outcome, reason, at = bounded(id, event, reason, now + tonumber(delay))
  end
  log_attempt(id, number, 'a', at, line)
  if outcome ~= 'delivered' then tell(event, id, 'failed', number) end
  for _, child in ipairs(children) do follow(id, event, unpack(child)) end
  event.n = number
  if outcome == 'retry' then try_again(id, event, at)
  else finish(id, event, outcome, reason ~= '' and reason or nil) end
  return {id, 'settled', at}
end

-- The events that follow from the attempt at `i`, and where the next one stands.
local function take_children(i)
  local children, after = {}, i + WIDTH
  for _ = 1, tonumber(ARGV[after - 1]) do
    children[#children + 1] = {unpack(ARGV, after, after + CHILD_WIDTH - 1)}
    after = after + CHILD_WIDTH
  end
  return children, after
end

local answers, i = {}, 2
while i <= #ARGV do
  local children, after = take_children(i)
  local ok, reply = pcall(settle, children, unpack(ARGV, i, i + WIDTH - 2))
  if not ok then
    set_aside(ARGV[i], reply)
    reply = {ARGV[i], 'stuck', 0}
  end
  answers[#answers + 1], i = reply, after
end
return answers
