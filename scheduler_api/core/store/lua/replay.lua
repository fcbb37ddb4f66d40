-- Sends dead letters anew: a new event takes the place of each. Atomic for each, so that a crash
-- neither loses nor doubles one.
-- KEYS[1] prefix
-- ARGV: now; then per dead letter its event's id and what create takes for the new event
-- Returns per dead letter what create does; code gone: it is no dead letter of the owner's;
--   fault: it could not be read, with the error's text for an id.
-- May run twice: a new id that bears the same nonce is answered as the first time.

--# include accept
--# include cleared

local function replay(dead, id, nonce, owner, ...)
  local event = dead_letter(dead, owner)
  if not event then
    if id == '' then id = redis.call('GET', given_key(nonce)) or '' end
    return known_as(id, nonce) or {'gone', 0, 0, id}
  end
  local answer = accept(id, nonce, owner, ...)
  if answer[1] == 'ok' then
    place_accepted()
    make_cleared(dead, event, nonce)
  end
  return answer
end

local answers = {}
for i = 2, #ARGV, WIDTH + 1 do
  local ok, answer = pcall(replay, unpack(ARGV, i, i + WIDTH))
  answers[#answers + 1] = ok and answer or {'fault', 0, 0, text(answer)}
end
return answers
