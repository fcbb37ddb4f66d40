-- Deletes a queue and cancels its events. One call cancels a limited number of events. The caller
-- repeats the call until all events are cancelled. If the caller stops earlier, claims cancel the
-- remaining events.
--
-- Keys: prefix.
-- Options: gate, owner, name (of the queue), limit (maximum number of events to cancel in this
--   call), nonce (of this deletion), audit (see lib/audit).
-- Args: none.
-- Answer: {1 if the queue existed before this call, otherwise 0; number of events that this call
--   cancelled; 1 if events remain to be cancelled, otherwise 0}.
-- Atomic. The first call deletes the queue. Further calls with the same nonce only cancel events
-- that were accepted before the first call. Events that were accepted later belong to a new queue
-- of the same name.
local GATE = records.GATE
local REPEATED_FOR_MS = 60000

local function delete_queue(key_names, args)
  local ctx = context.new(key_names, args)
  local gate, options = ctx.options.gate, ctx.options
  local key, repeat_key = keys.gate(ctx, gate), keys.issued_id(ctx, options.nonce)
  local exists = redis.call('HEXISTS', key, GATE.created_ms)
  if exists == 1 and redis.call('EXISTS', repeat_key) == 0 then
    gates.check_at(ctx, gate, ctx.now + gates.CHECK_EVERY_MS)
    audit.write(ctx, audit.describe_gate(ctx, gate), 'null')
    redis.call('HSET', key, GATE.cancel_until, redis.call('HGET', key, GATE.last_number) or 0)
    redis.call('HDEL', key, GATE.created_ms, GATE.parallelism, GATE.paused_ms, GATE.check_from)
    redis.call('ZREM', keys.queues(ctx, options.owner), options.name)
  end
  redis.call('SET', repeat_key, gate, 'PX', REPEATED_FOR_MS)
  local cancelled, all = gate_checks.cancel_deleted(ctx, gate, options.limit)
  if all and redis.call('HEXISTS', key, GATE.created_ms) == 1 then
    gates.check_at(ctx, gate, ctx.now)
  elseif all then
    redis.call('DEL', key)
  end
  return {exists, cancelled, all and 0 or 1}
end

redis.register_function{function_name = 'delete_queue_' .. VERSION, callback = delete_queue,
  flags = {'allow-oom'}}
