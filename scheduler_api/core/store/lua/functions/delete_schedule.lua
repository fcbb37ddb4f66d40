-- Deletes a schedule. Its existing occurrences are still sent, unless the schedule is strict.
--
-- Keys: prefix.
-- Options: id, owner, read_revision (the revision of the schedule when the caller read the
--   schedule), audit (see lib/audit).
-- Args: none.
-- Answer: 1 if the schedule existed, otherwise 0.
-- Atomic. A repeated call also gets 1, because the key `superseded` contains the revision that the
-- caller read.
local DELETED = records.fields(records.SCHEDULE, 'owner', 'revision', 'name', 'search_terms',
  'state')

local function delete_schedule(key_names, args)
  local ctx = context.new(key_names, args)
  local sid, owner, superseded = ctx.options.id, ctx.options.owner, keys.superseded(ctx)
  local key = keys.schedule(ctx, sid)
  local record = records.read(key, DELETED)
  local read = sid .. ':' .. ctx.options.read_revision
  if not record.owner and redis.call('ZSCORE', superseded, read) then return 1 end
  if record.owner ~= owner then return 0 end
  redis.call('ZADD', superseded, ctx.now, sid .. ':' .. (record.revision or ''))
  redis.call('ZREM', keys.schedules(ctx, owner), sid)
  schedule_index.remove_terms(ctx, sid, owner, record.search_terms or '', '')
  schedule_index.remove(ctx, sid)
  if record.name then redis.call('HDEL', keys.names(ctx, owner), record.name) end
  deduplication.release(ctx, owner, sid, key)
  redis.call('DEL', key, keys.skipped(ctx, sid))
  audit.write(ctx, '{"state":"' .. (record.state or '') .. '"}', 'null')
  return 1
end

redis.register_function{function_name = 'delete_schedule_' .. VERSION, callback = delete_schedule,
  flags = {'allow-oom'}}
