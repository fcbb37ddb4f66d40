-- Removes dead letters; their events stay as long as others that ended. Atomic for each.
-- KEYS[1] prefix
-- ARGV: now, owner, name of this removal, ids…
-- Returns per id 1 if it was a dead letter of the owner's, else 0.
-- May run twice: an event that bears this name is answered as the first time.
local owner, name, answers = ARGV[2], ARGV[3], {}

--# include cleared

local function clear(id)
  local event = dead_letter(id, owner)
  if event then
    make_cleared(id, event, name)
    return 1
  end
  local before = read(event_key(id), 'o', 'st', 'ch')
  return before.o == owner and before.st == 'cleared' and before.ch == name and 1 or 0
end

for i = 4, #ARGV do
  local ok, answer = pcall(clear, ARGV[i])
  answers[#answers + 1] = ok and answer or 0
end
return answers
