-- Part of inspect: the places of an event, its line and slots among them.
-- Expects note, note_content; defines note_event.

--# include gates

local function note_gates(id, event, places)
  local turns, slots = 0, 0
  for _, gate in ipairs(gates_of(event)) do
    if is_queue(gate) then
      turns = turns + (redis.call('ZSCORE', order_key(gate), id) and 1 or 0)
    else
      slots = slots + redis.call('SISMEMBER', holders_key(gate), id)
    end
  end
  note(places, 'turns', turns)
  note(places, 'slots', slots)
  if not event.l then return end
  local line = is_queue(event.l) and order_key(event.l) or waiters_key(event.l)
  note(places, 'line', redis.call('ZSCORE', line, id) and 1)
  local paused = redis.call('HEXISTS', gate_key(event.l), 'pz') == 1
  local looked = redis.call('ZSCORE', DUE, 'g:' .. event.l)
  note(places, 'looked', (paused or looked) and 1)
end

-- Where an event stands as if it had gates and has none, or the other way round.
local function note_misspelt(id, event, places)
  local other = event.g and id or '~' .. id
  local found = redis.call('ZSCORE', DUE, other) or redis.call('ZSCORE', LEASED, other)
  note(places, 'misspelt', found and 1)
end

local function note_event(id, event, places)
  note(places, 'solo', redis.call('SISMEMBER', SOLO, id))
  note_gates(id, event, places)
  note_misspelt(id, event, places)
  if not event.o then return end
  note(places, 'ix', redis.call('ZSCORE', by_time_key(event.o, event.st or 'active'), id))
  if event.st then
    note(places, 'fin', redis.call('ZSCORE', finished_key(event.o, event.st), id))
  end
  if event.s then
    note(places, 'occ', redis.call('ZSCORE', occurrences_key(event.s), id))
    note_content(places, template_key(event.s, event.rv or ''))
  else
    note_content(places, body_key(id, event.b))
  end
end
