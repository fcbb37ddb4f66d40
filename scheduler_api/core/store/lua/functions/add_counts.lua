-- Adds the counted outcomes of attempts to those of the present hour.
--
-- Keys: prefix.
-- Options:
--   ttl_ms: how long the counts of an hour are kept after the last addition.
--   max_destinations: how many destinations of a holder are counted separately in an hour. Further
--     ones are counted together, under the name ''.
-- Args per holder: its name, then JSON with `destinations`, a list of {name, delivered, failed, 1 if
--   the last attempt failed or 0, code of the last failure}, and, at least in one part of what was
--   counted, `delivered`, `failed`, `causes` (failures by code), `late` (number of first attempts by
--   bucket of lateness) and `late_ms` (sum). `totals`, if present, are numbers to add to the totals of
--   the cell, by field.
--   A holder that is being removed, or whose counts are unreadable, is left out.
-- Answer: the time of the store in ms.
-- Atomic per holder. A repeated call counts again.
local MINUTE_MS, HOUR_MS, SLOT_MINUTES = 60000, 3600000, 5
local VALUE = '^(%d+) (%d+) %d (%d+) (.*)$'

local function count_totals(ctx, key, counts)
  local minute = math.floor(ctx.now % HOUR_MS / MINUTE_MS)
  local slot = math.floor(minute / SLOT_MINUTES)
  local function add(field, count)
    if count > 0 then redis.call('HINCRBY', key, field, count) end
  end
  add('d' .. minute, counts.delivered)
  add('f' .. minute, counts.failed)
  for code, count in pairs(counts.causes) do add('c:' .. code, count) end
  for bucket, count in pairs(counts.late) do add('l' .. slot .. ':' .. bucket, count) end
  add('late_ms', counts.late_ms)
end

local function count_lifetime(ctx, totals)
  for field, count in pairs(totals) do
    if count > 0 then redis.call('HINCRBY', keys.totals(ctx), field, count) end
  end
end

-- Returns what is stored of some destinations and of '', by name.
local function read_destinations(key, destinations)
  local names, values = {''}, {}
  for i, each in ipairs(destinations) do names[i + 1] = each[1] end
  local replies = redis.call('HMGET', key, unpack(names))
  for i, name in ipairs(names) do values[name] = replies[i] or nil end
  return values
end

local function count_destinations(ctx, key, destinations)
  local values, changed, args = read_destinations(key, destinations), {}, {}
  local room = ctx.options.max_destinations - redis.call('HLEN', key) + (values[''] and 1 or 0)
  for _, each in ipairs(destinations) do
    local name = (values[each[1]] or room > 0) and each[1] or ''
    if not values[name] and name ~= '' then room = room - 1 end
    local delivered, failed, failed_ms, code = string.match(values[name] or '0 0 0 0 ', VALUE)
    if each[3] > 0 then failed_ms, code = ctx.now, each[5] end
    values[name] = string.format('%d %d %d %.0f %s', delivered + each[2], failed + each[3], each[4],
      failed_ms, code)
    changed[name] = values[name]
  end
  for name, value in pairs(changed) do
    args[#args + 1], args[#args + 2] = name, value
  end
  redis.call('HSET', key, unpack(args))
end

local function add(ctx, holder, counts)
  local hour = math.floor(ctx.now / HOUR_MS)
  if counts.delivered then
    local totals = keys.counts(ctx, holder, hour)
    count_totals(ctx, totals, counts)
    redis.call('PEXPIRE', totals, ctx.options.ttl_ms)
  end
  if counts.totals then count_lifetime(ctx, counts.totals) end
  if not counts.destinations[1] then return end
  local destinations = keys.destination_counts(ctx, holder, hour)
  count_destinations(ctx, destinations, counts.destinations)
  redis.call('PEXPIRE', destinations, ctx.options.ttl_ms)
end

local function add_counts(key_names, args)
  local ctx = context.new(key_names, args)
  for i = 2, #args, 2 do
    local holder, counts = args[i], cjson.decode(args[i + 1])
    if redis.call('EXISTS', keys.removed(ctx, holder)) == 0 then
      pcall(add, ctx, holder, counts)
    end
  end
  return ctx.now
end

redis.register_function{function_name = 'add_counts_' .. VERSION, callback = add_counts,
  flags = {'allow-oom'}}
