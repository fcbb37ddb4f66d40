-- Deletes a queue: from now on it is unknown. This call and its repeats cancel what stands in it;
--   if they stop on the way, claims go on.
--
-- Keys: prefix.
-- Options: gate, owner, name (of the queue), most (events to cancel now), deletion (its name).
-- Args: none.
-- Answer: {1 if it was there, how many were cancelled, 1 while there are more}.
-- Atomic. A repeat with the same name continues the deletion: events that were accepted meanwhile
-- belong to a new queue.
local GATE = records.GATE
local REPEATED_FOR_MS = 60000

local function delete_queue(key_names, args)
  local ctx = context.new(key_names, args)
  local gate, options = ctx.options.gate, ctx.options
  local key, begun = keys.gate(ctx, gate), keys.issued_id(ctx, options.deletion)
  local exists = redis.call('HEXISTS', key, GATE.created_ms)
  if exists == 1 and redis.call('EXISTS', begun) == 0 then
    gates.check_at(ctx, gate, ctx.now + gates.CHECK_EVERY_MS)
    redis.call('HSET', key, GATE.cancel_until, redis.call('HGET', key, GATE.last_number) or 0)
    redis.call('HDEL', key, GATE.created_ms, GATE.parallelism, GATE.paused_ms, GATE.check_from)
    redis.call('ZREM', keys.queues(ctx, options.owner), options.name)
  end
  redis.call('SET', begun, gate, 'PX', REPEATED_FOR_MS)
  local cancelled, all = gate_checks.cancel_deleted(ctx, gate, options.most)
  if all and redis.call('HEXISTS', key, GATE.created_ms) == 1 then
    gates.check_at(ctx, gate, ctx.now)
  elseif all then
    redis.call('DEL', key)
  end
  return {exists, cancelled, all and 0 or 1}
end

redis.register_function{function_name = 'delete_queue_' .. VERSION, callback = delete_queue,
  flags = {'allow-oom'}}
