-- The context of one call: the state that the modules share during the call. Modules must not keep
-- state in local variables of a file, because these variables outlive the call.

local PROMOTIONS_PER_CALL = 200

-- Creates the context. key_names[1] is the prefix of the cell. args[1] contains the function's
-- options, a JSON object. In tests, the option `now_ms` replaces the server's clock.
--
-- Fields:
--   due, leased: the names of these keys.
--   freed: gates that lost a holder. Their waiters must be promoted.
--   promotions_left: how many more promotions this call may try.
--   next_check, any_isolated, job_template, has_readers: values that other modules read only once per
--     call. They are absent at first.
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
