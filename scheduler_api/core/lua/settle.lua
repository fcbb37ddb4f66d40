-- Writes down how attempts ended; valid with the token of the last begin, or with the token
-- that an interruption took away while nobody began anew. Atomic: log, state and place agree.
-- KEYS[1] prefix
-- ARGV: now; then 7 per attempt: id, token, attempt number, outcome (delivered, retry, dead),
--   delay ms of the retry, reason of a dead letter or '', log line (JSON)
-- Returns per attempt {id, code, next ms}: settled, again (this very settle was done before),
--   late (another took over: only logged), gone (no record).
local WIDTH = 7

-- A late outcome may replace the line of its interruption, never a settled one.
local function too_late(id, number, line)
  local known = redis.call('HGET', log_key(id), number)
  if known and string.sub(known, 1, 1) == 'a' then return {id, 'again', 0} end
  log_attempt(id, number, 'l', 0, line)
  return {id, 'late', 0}
end

local function try_again(id, event, at)
  local key, wanted = event_key(id), first_wanted(event)
  redis.call('HSET', key, 'w', wanted, 'at', at, 'u', now)
  redis.call('HINCRBY', key, 'fl', 1)
  redis.call('HDEL', key, 'tok', 'ptok', 'un', 'in')
  lift(id)
  put_due(id, at)
end

local function settle(id, token, number, outcome, delay, reason, line)
  local event = read(event_key(id), 'o', 'at', 'w', 's', 'st', 'tok', 'ptok')
  if not known(event_key(id), event) then return {id, 'gone', 0} end
  local holds = event.tok == token or (event.ptok == token and not event.tok)
  if event.st or not holds then return too_late(id, number, line) end
  local at = outcome == 'retry' and now + tonumber(delay) or 0
  log_attempt(id, number, 'a', at, line)
  if outcome == 'retry' then
    try_again(id, event, at)
  else
    finish(id, event, outcome, reason ~= '' and reason or nil)
  end
  return {id, 'settled', at}
end

local answers = {}
for i = 2, #ARGV, WIDTH do
  local ok, reply = pcall(settle, unpack(ARGV, i, i + WIDTH - 1))
  if not ok then
    set_aside(ARGV[i], reply)
    reply = {ARGV[i], 'stuck', 0}
  end
  answers[#answers + 1] = reply
end
return answers
