-- A worker's own taking of events, right before it sends them; decides everything, so that
-- stale, doubled or late envelopes do no harm. Atomic: one event, one live token.
-- KEYS[1] prefix
-- ARGV: now, token, lease ms, most bytes of content to answer (behind it, separated by blanks, most
--   of one destination in hand while others are wanted, and `<gate>=<in hand>` of each), ids…
-- Returns per id {id, code, attempt, failures, interruptions, wanted ms, created ms, deadline ms,
--   owner, content key, content or '' (then GET it), schedule, gate of its destination, '1' if that
--   is watched, ms until its end or ''}; code begun, or why it falls out: gone (stands elsewhere),
--   taken, missing, ended, early, withdrawn (it ends with a reason), waits (for the occurrence
--   before it), held (it waits at a gate), stuck.
-- May run twice: the same token again is answered as the first time.

local token, lease_ms = ARGV[2], tonumber(ARGV[3])
local most = tonumber(string.match(ARGV[4], '^%d+'))
local SLACK_MS = 10000

--# seldom others
--# include lift
--# include withdraw
--# include detour
--# include charge
--# end

--# include share
--# include answer
--# include called

local function begin(id, event)
  local member = member_of(id, event)
  if not redis.call('ZSCORE', LEASED, member) then return {id, 'gone'} end
  if event.tok == token then return answer(id, event, whole(event, 'n')) end
  if event.tok then return {id, 'taken'} end
  if not known(event_key(id), event) then lift(id, event) return {id, 'missing'} end
  if event.st then lift(id, event) return {id, 'ended'} end
  local at, attempt = whole(event, 'at'), whole(event, 'n', 0) + 1
  if at > now then put_due(member, at) free(id, event) return {id, 'early'} end
  local reason, called
  if event['end'] or event.sr then reason, called = withdrawn(id, event, now, event.n) end
  if not reason and event.af and waits(id, event) then return {id, 'waits'} end
  if reason then
    finish(id, event, ending(reason, event.n), reason)
    return {id, 'withdrawn'}
  end
  local gate = event.to
  if not let_pass(id, event, gate, is_watched(gate)) then return {id, 'held'} end
  if event.sr and not called then redis.call('HSET', schedule_key(event.s), 'cd', now) end
  local reply = answer(id, event, attempt)
  redis.call('HSET', event_key(id), 'tok', token, 'n', attempt, 'u', now,
    'un', now + whole(event, 'dl') + SLACK_MS)
  redis.call('ZADD', LEASED, now + lease_ms, member_of(id, event))
  if event.g then charge(id, event) end
  count_begun(gate)
  tell(event, id, 'begun', attempt)
  return reply
end

local answers, met = {}, {}
for i = 5, #ARGV do met[i] = {pcall(meet, ARGV[i])} end
for i = 5, #ARGV do
  local ok, reply = unpack(met[i])
  if ok then ok, reply = pcall(begin, ARGV[i], reply) end
  if not ok then
    set_aside(ARGV[i], reply)
    reply = {ARGV[i], 'stuck'}
  end
  answers[#answers + 1] = reply
end
if others_open then look_at_rates() end
wake_stalled()
return answers
