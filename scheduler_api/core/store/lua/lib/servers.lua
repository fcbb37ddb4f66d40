-- Notices that another server process has taken over the store, after a restart or a failover. The
-- new process may lack the newest writes of the old one.
local MARGIN = 1000000
-- A tail that is lost in a failover is shown for a while. A longer one is shown until an operator
-- accepts it.
local SHORT_MS, KEPT_MS = 60000, 3600000
local OFFERED_FIELDS = records.fields(records.EVENT, 'owner', 'token')
-- The run id of the server process. It may outlive a call, because it never changes: a new process
-- loads the library again, and a replica has a library of its own.
local run_id

-- Returns the run id of the server, or '' if the user may not read it.
function servers.run_id()
  if not run_id then
    local ok, info = pcall(redis.call, 'INFO', 'server')
    run_id = ok and string.match(info, 'run_id:(%x+)') or ''
  end
  return run_id
end

-- Checks once per call whether the store has another server than at the last check. If so, ids that
-- the old server has issued may be lost with its newest writes. So the sequence skips more ids than
-- can have been lost.
--
-- Sets fields of the context: `last_claim_at` and `repeats_before` (see keys.py), and
-- `claimed_before`, the time of the last claim when the present server took over. It is '' if the
-- store has always had this server.
function servers.check(ctx)
  if ctx.claimed_before then return end
  local stored, last_claim_at, repeats_before = unpack(redis.call('MGET', keys.server(ctx),
    keys.last_claim_at(ctx), keys.repeats_before(ctx)))
  ctx.last_claim_at, ctx.repeats_before = last_claim_at or '0', repeats_before
  local own = servers.run_id()
  local holder, claimed_before = string.match(stored or '', '^(%S*) (%d*)$')
  if holder ~= own then
    claimed_before = stored and ctx.last_claim_at or ''
    redis.call('SET', keys.server(ctx), own .. ' ' .. claimed_before)
    if stored then redis.call('INCRBY', keys.sequence(ctx), MARGIN) end
  end
  ctx.claimed_before = claimed_before
end

-- Returns whether the store has another epoch than the caller expects: it was emptied or replaced.
function servers.is_lost(ctx)
  local expected = ctx.options.epoch
  return expected and redis.call('GET', keys.epoch(ctx)) ~= expected
end

-- Returns whether events may begin: not before a claim has found out which deliveries may be lost.
function servers.may_begin(ctx)
  servers.check(ctx)
  return ctx.claimed_before ~= ctx.last_claim_at
end

-- Marks the offered events as possible duplicates, if no claim has run on this server yet. A worker
-- may have begun them on the old server, and the begin is lost if it was the newest write.
function servers.expect_repeats(ctx)
  if servers.may_begin(ctx) then return end
  for _, member in ipairs(redis.call('ZRANGE', keys.leased(ctx), 0, -1)) do
    local key = keys.event(ctx, (string.gsub(member, '^~', '')))
    local ok, event = pcall(records.read, key, OFFERED_FIELDS)
    if ok and event.owner and not event.token then
      redis.call('HSET', key, records.EVENT.may_repeat, 1)
    end
  end
end

-- Returns whether the store may have lost a delivery of the event.
function servers.may_repeat(ctx, event)
  return ctx.repeats_before and records.first_due_ms(event) <= tonumber(ctx.repeats_before)
end

-- Compares the time of the last claim with what the caller knows. A claim calls this before it changes
-- that time. Returns by how many ms the store is older, or 0.
function servers.find_lost_tail(ctx)
  servers.check(ctx)
  local options = ctx.options
  if not options.claimed_ms or options.server == servers.run_id() then return 0 end
  local claimed_ms = tonumber(ctx.claimed_before) or tonumber(ctx.last_claim_at)
  if claimed_ms >= options.claimed_ms then return 0 end
  local before = math.max(tonumber(ctx.repeats_before or 0), options.contact_ms)
  redis.call('SET', keys.repeats_before(ctx), string.format('%.0f', before))
  local lost_ms, key = options.claimed_ms - claimed_ms, keys.lost_tail(ctx)
  lost_ms = math.max(lost_ms, tonumber(redis.call('GET', key) or 0))
  redis.call('SET', key, string.format('%.0f', lost_ms))
  if lost_ms <= SHORT_MS then redis.call('PEXPIRE', key, KEPT_MS) end
  return lost_ms
end
