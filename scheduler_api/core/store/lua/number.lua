-- Part of accept: ids that are given out where the event is stored, so they ascend in the order
-- of creation. Expects nothing.

local function base_36(number)
  local id = ''
  repeat
    local digit = number % 36
    id = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. id
    number = (number - digit) / 36
  until number == 0
  return id
end

-- The next id that is free, remembered for a repetition in silence.
local function next_id(nonce)
  local id
  repeat id = base_36(redis.call('INCR', P .. 'seq'))
  until redis.call('EXISTS', event_key(id)) == 0
  redis.call('SET', given_key(nonce), id, 'PX', 60000)
  return id
end
