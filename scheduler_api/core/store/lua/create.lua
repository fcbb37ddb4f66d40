-- Accepts new events: record, index, then `due`. Atomic, so that an answer means "stored".
-- KEYS[1] prefix
-- ARGV: now; then 13 per event: id ('' for the next one), nonce, owner, 'at' or 'in', ms
--   (absolute or from now),
--   '1' if it must lie in the future, deadline of an attempt in ms,
--   what to send ('' if it was written beforehand under the nonce, to expire unless kept here),
--   '1' if its owner's journal tells of it, mark and how long it holds (`mark`),
--   its destination as a gate, the gates that it goes through (`bind`)
-- Returns per event {code, wanted ms, created ms, id}; code ok, taken (the id belongs to
--   another nonce), past, full, no_room (for the gate that id names), nobody (what to send has
--   expired), double (the mark is held: id is what stands there).
-- May run twice: an id that bears the same nonce is answered as the first time, and a nonce
-- that was given an id is given it again.
--# refused when full
--# seldom gates
--# include bind
--# end

--# include accept

local answers = {}
for i = 2, #ARGV, WIDTH do answers[#answers + 1] = accept(unpack(ARGV, i, i + WIDTH - 1)) end
place_accepted()
return answers
