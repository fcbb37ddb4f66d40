-- What one call knows. Modules keep no state of their own: upvalues outlive a call.

local GRANTS_PER_CALL = 200

-- key_names[1]: prefix of the cell. args[1]: the function's options, a JSON object. The option
-- `now_ms` replaces the server's clock; only tests set it. The context also keeps what one call
-- shares: gates that lost a holder and whose waiters are to be promoted (`freed`), how many waiters
-- may still be tried (`grants_left`), the names of the two sets that every event passes, and what
-- was read once: `next_check`, `any_isolated`, `job_template`.
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
    grants_left = GRANTS_PER_CALL,
  }
end
