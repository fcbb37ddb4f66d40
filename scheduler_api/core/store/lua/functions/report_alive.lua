-- Records that a process runs, and removes processes that have not reported in time.
--
-- Keys: prefix.
-- Options:
--   process: the id of the process.
--   role: such as ticker or worker.
--   ttl_ms: how long processes are kept without another report.
--   role_ttl_ms: how long its role counts as running without another report. Absent if the process
--     runs, but does not do its work.
--   full_ms: for how long the store refuses new events from now on. Absent if it need not.
--   clock_step: a step of the store's clock (see `keys.clock_step`), if there was one.
--   clock_step_ms: how long it is kept. Absent if it is kept until it is accepted.
-- Args: what the process reports.
-- Answer: the time of the first report of the process, in ms.
-- Atomic: a reader finds all or nothing of a report. A repeated call only changes the time.

-- A value is `<time of the first report> <time of this report> <report>`.
local TIMES = '^(%d+) (%d+) '

local function report_alive(key_names, args)
  local ctx = context.new(key_names, args)
  local now, options, key = ctx.now, ctx.options, keys.processes(ctx)
  if options.full_ms then redis.call('SET', keys.full(ctx), 1, 'PX', options.full_ms) end
  if options.clock_step then
    redis.call('SET', keys.clock_step(ctx), options.clock_step)
    if options.clock_step_ms then
      redis.call('PEXPIRE', keys.clock_step(ctx), options.clock_step_ms)
    end
  end
  if options.role_ttl_ms then
    redis.call('SET', keys.alive(ctx, options.role), now, 'PX', options.role_ttl_ms)
  end
  local stored, since = redis.call('HGETALL', key), now
  for i = 1, #stored, 2 do
    local first, last = string.match(stored[i + 1], TIMES)
    if not last or math.abs(now - last) > options.ttl_ms then redis.call('HDEL', key, stored[i])
    elseif stored[i] == options.process then since = first end
  end
  redis.call('HSET', key, options.process, since .. ' ' .. now .. ' ' .. args[2])
  redis.call('PEXPIRE', key, options.ttl_ms)
  return tonumber(since)
end

redis.register_function{function_name = 'report_alive_' .. VERSION, callback = report_alive,
  flags = {'allow-oom'}}
