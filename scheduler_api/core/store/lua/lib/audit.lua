-- The audit log of changes by people. `scheduler_api/core/store/audit.py` describes the records.
--
-- A function that can be called for a person has the option `audit`, an object with these fields:
-- holder, by, action, object; and max_records, how many records the log keeps. Without the option,
-- nothing is recorded.
local GATE = records.GATE
local DESCRIBED = records.fields(GATE, 'created_ms', 'parallelism', 'rate', 'period_ms',
  'parallelism_pinned', 'rate_pinned', 'paused_ms')
local LIMITS = {'parallelism', 'rate', 'period_ms'}

-- Writes the record of a change. `before` and `after` are JSON. If they are equal, nothing has
-- changed, and there is no record.
function audit.write(ctx, before, after)
  local record = ctx.options.audit
  if not record or before == after then return end
  redis.call('XADD', keys.audit(ctx, record.holder), 'MAXLEN', record.max_records, '*', 'by',
    record.by, 'action', record.action, 'object', record.object, 'before', before, 'after', after)
end

-- Returns a gate as JSON for `write`: its limits, pins and pause, and how many attempts count
-- towards its rate. The fields always have the same order. Returns nothing if nothing is recorded.
function audit.describe_gate(ctx, gate)
  if not ctx.options.audit then return end
  local state, words = records.read(keys.gate(ctx, gate), DESCRIBED), {}
  if not state.created_ms then return 'null' end
  for _, name in ipairs(LIMITS) do
    local value = state[name]
    if value then
      words[#words + 1] = string.format('"%s":%s', name, cjson.encode(tonumber(value) or value))
    end
  end
  if state.parallelism_pinned then words[#words + 1] = '"parallelism_pinned":true' end
  if state.rate_pinned then words[#words + 1] = '"rate_pinned":true' end
  local begun = redis.call('LLEN', keys.begins(ctx, gate))
  if begun > 0 then words[#words + 1] = '"rate_count":' .. begun end
  words[#words + 1] = '"paused":' .. tostring(state.paused_ms ~= nil)
  return '{' .. table.concat(words, ',') .. '}'
end
