-- Part of begin: what one destination may have of a worker while others want it too, and what
-- waits before a destination that is shut. Expects admit, detour; defines note_destination,
-- let_pass, count_begun, is_watched, meet.
local most_of_one, full = string.match(ARGV[4], '^%d+ (%d+)(!?)')
most_of_one = tonumber(most_of_one or 0)
local shut, in_hand, destinations = redis.call('EXISTS', SHUT) == 1, {}, 0

local function note_destination(gate, count)
  if not gate or in_hand[gate] then return end
  in_hand[gate], destinations = count, destinations + 1
end

for gate, count in string.gmatch(ARGV[4], '(%S+)=(%d+)') do
  note_destination(gate, tonumber(count))
end

local prefixes = {}

local function destination_of(event)
  if not event.o or (event.d or '') == '' then return nil end
  local prefix = prefixes[event.o] or destination_gate(event.o, '')
  prefixes[event.o] = prefix
  return prefix .. event.d
end

local function is_watched(gate)
  return gate and shut and redis.call('HEXISTS', SHUT, gate) == 1
end

local function let_pass(id, event, gate, watched)
  local over = gate and most_of_one > 0 and in_hand[gate] >= most_of_one
  if over and destinations == 1 then
    if full ~= '!' then over = false
    else
      put_due(member_of(id, event), whole(event, 'at'))
      return false
    end
  end
  if over or watched then go_through(id, event, gate) end
  if over then
    turn_away(id, event, gate)
    shut = true
    return false
  end
  return not event.g or admit(id, event)
end

local function count_begun(gate)
  if gate then in_hand[gate] = in_hand[gate] + 1 end
end

-- All of an event's record, for begin: less work than to look for most of its fields one by one.
-- Who else is wanted is known before any begins.
local function meet(id)
  local fields, event = redis.call('HGETALL', event_key(id)), {}
  for i = 1, #fields, 2 do event[fields[i]] = fields[i + 1] end
  event.to = destination_of(event)
  note_destination(event.to, 0)
  return event
end
