-- The context of one call. Modules must not keep state in local variables, which outlive a call.

local PROMOTIONS_PER_CALL = 200

-- key_names[1]: prefix of the cell. args[1]: the function's options, a JSON object. The option
-- `now_ms` replaces the server's clock in tests. The context also has `freed` (gates that lost a
-- holder, whose waiters must be promoted), `promotions_left` (how many promotions this call may
-- still try), the names of the keys `due` and `leased`, and values that are read once per call:
-- `next_check`, `any_isolated`, `job_template`.
function context.new(key_names, args)
  local options, micros = cjson.decode(args[1]), 0
  local now = options.now_ms
  if not now then
    local clock = redis.call('TIME')
    local past_second = tonumber(clock[2])
    micros = past_second % 1000
    now = tonumber(clock[1]) * 1000 + (past_second - micros) / 1000
  end
  local prefix = key_names[1]
  return {
    prefix = prefix,
    due = prefix .. 'due',
    leased = prefix .. 'leased',
    args = args,
    options = options,
    now = now,
    micros = micros,
    freed = {},
    promotions_left = PROMOTIONS_PER_CALL,
  }
end
