-- Tells a record and every place that it stands in, for `fsck`. Atomic, so that nothing is
-- seen between two places; writes nothing.
-- KEYS[1] prefix
-- ARGV: now, then members as in `due`: event ids, and schedules as `s:<id>`
-- Returns per member {fields and values, or the error's text; places and scores}: places are
--   due, leased, stuck, parked, why, solo, occ, ix and fin (of its own state), schedules, names,
--   owners; terms: in how many it stands; content: -1 for good, else ms that it has left;
--   line, looked (the gate whose line it is), misspelt; turns, slots: of how many gates

local function note(places, name, value)
  if not value or value == 0 then return end
  places[#places + 1] = name
  places[#places + 1] = value
end

local function note_content(places, key)
  local left = redis.call('PTTL', key)
  if left ~= -2 then note(places, 'content', left) end
end

--# include inspect_event

local function note_schedule(sid, record, places)
  note(places, 'parked', redis.call('ZSCORE', PARKED, sid))
  if not record.o then return end
  note(places, 'schedules', redis.call('ZSCORE', by_time_key(record.o, 'schedules'), sid))
  note_content(places, template_key(sid, record.rv or ''))
  local name = record.nm and redis.call('HGET', names_key(record.o), record.nm)
  note(places, 'names', name == sid and 1)
  local terms = 0
  for term in string.gmatch(record.ix or '', '%S+') do
    terms = terms + (redis.call('ZSCORE', term_key(record.o, term), sid) and 1 or 0)
  end
  note(places, 'terms', terms)
end

local function inspect(member)
  local sid, places, record = string.match(member, '^s:(.*)$'), {}, {}
  local id = string.gsub(member, '^~', '')
  local readable, fields = pcall(redis.call, 'HGETALL', sid and schedule_key(sid) or event_key(id))
  for i = 1, readable and #fields or 0, 2 do record[fields[i]] = fields[i + 1] end
  if not sid and next(record) then member = member_of(id, record) end
  for name, set in pairs({due = DUE, leased = LEASED}) do
    note(places, name, redis.call('ZSCORE', set, member))
  end
  note(places, 'stuck', redis.call('ZSCORE', STUCK, id))
  note(places, 'why', redis.call('HEXISTS', WHY, id))
  if record.o then note(places, 'owners', redis.call('SISMEMBER', P .. 'owners', record.o)) end
  if sid then note_schedule(sid, record, places) else note_event(id, record, places) end
  return {readable and fields or text(fields), places}
end

local views = {}
for i = 2, #ARGV do views[#views + 1] = inspect(ARGV[i]) end
return views
