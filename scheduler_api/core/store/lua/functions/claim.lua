-- Claims due events: moves them from `due` to `leased` and enqueues them in RQ. Also ends expired
-- leases, fires due schedules, and checks gates.
--
-- Keys: prefix.
-- Options: room (maximum number of members to take from `due`); offer_ms, lease_ms, grace_ms and
--   missed_grace_ms (see `ClaimTimeouts` in claims.py); rq (see lib/rq; if it is absent, the call
--   enqueues nothing); expected_ms (the time of the store's clock, as the caller expects it; absent
--   if the caller does not know it); jumped_from_ms and jumped_to_ms (the last forward step of the
--   store's clock; absent if there was none); server, claimed_ms and contact_ms (the run id of the
--   server, the time of the last claim and the time of the last contact, as far as the caller knows;
--   absent if it knows none).
-- Args: the template of RQ jobs (see lib/rq), if the option rq is present.
-- Answer: a list of:
--   ids of the offered events that are not isolated;
--   ids of the offered isolated events (at most one);
--   ids of schedules to plan;
--   µs until the next check, or -1 if no check is needed;
--   ids of events whose attempts were interrupted;
--   members that this call moved to quarantine;
--   the epoch of the store;
--   1 if due events wait because RQ is full, otherwise 0;
--   URLs of origins and routes whose breakers this call closed, because they are idle;
--   the time of the store's clock, in ms;
--   1 if the call has done nothing, because this time differs from expected_ms by more than a
--     second, otherwise 0;
--   by how many ms the store is older than the caller knows, or 0;
--   the run id of the server.
-- Atomic, so concurrent claims get different events. A repeated call does not get the events of the
-- first call again. They return to `due` when their offer leases end.
local EVENT = records.EVENT
local LEASES_PER_CALL, RECENT_MS, OLDEST_SHARE, TOLERANCE_MS = 200, 2000, 0.8, 1000
local DEAD_FROM = 5
local LEASE_FIELDS = records.fields(EVENT, 'owner', 'due_ms', 'first_due_ms', 'schedule', 'state',
  'token', 'attempts', 'interruptions', 'renewable_until_ms', 'deadline_ms', 'journaled',
  'cancel_requested_ms', 'following', 'gates', 'waits_at', 'passed_over', 'turn_exempt',
  'destination')

-- Records the time of this claim. Returns the end of the grace period and the epoch of the store.
--
-- If the last claim was more than half of `lease_ms` ago, the store may have been down, and workers
-- may have been unable to renew leases. Then this claim starts a grace period, during which no
-- lease of a begun event ends. It also shortens longer leases to `lease_ms`.
-- If the clock was set back, this claim does the same. In addition, it makes all gates with waiters
-- due for a check.
local function record_claim(ctx)
  local now, lease_ms = ctx.now, ctx.options.lease_ms
  local last, grace_until, epoch, next_check = unpack(redis.call('MGET', keys.last_claim_at(ctx),
    keys.lease_grace_until(ctx), keys.epoch(ctx), keys.next_check(ctx)))
  ctx.next_check = next_check
  redis.call('SET', keys.last_claim_at(ctx), now)
  last, epoch = tonumber(last or now), epoch or ''
  if now - last <= lease_ms / 2 and now >= last then return tonumber(grace_until or 0), epoch end
  local leased, latest = keys.leased(ctx), now + lease_ms
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', leased, '(' .. latest, '+inf')) do
    redis.call('ZADD', leased, latest, member)
  end
  if now < last then
    for _, gate in ipairs(redis.call('SMEMBERS', keys.waiting_gates(ctx))) do
      redis.call('ZADD', keys.due(ctx), now, 'g:' .. gate)
    end
  end
  redis.call('SET', keys.lease_grace_until(ctx), now + ctx.options.grace_ms)
  return now + ctx.options.grace_ms, epoch
end

-- Called when the lease of a begun event has ended. Counts the attempt as interrupted. Normally,
-- the event then becomes due again. The worker can still settle the interrupted attempt until
-- another attempt begins. If the event was interrupted too often, or its cancellation was
-- requested, the event ends instead.
local function interrupt(ctx, id, event, batch)
  local count = records.integer(event, 'interruptions', 0) + 1
  local number = records.integer(event, 'attempts')
  local entry = string.format('{"started_ms":%.0f}', records.began_ms(event))
  batch.interrupted[#batch.interrupted + 1] = id
  journal.append(ctx, event, id, 'failed', number)
  if count >= DEAD_FROM or event.cancel_requested_ms then
    journal.log_attempt(ctx, id, number, 'i', 0, entry)
    if event.cancel_requested_ms then return endings.finish(ctx, id, event, 'cancelled') end
    return endings.finish(ctx, id, event, 'dead', 'poison')
  end
  journal.log_attempt(ctx, id, number, 'i', ctx.now, entry)
  redis.call('HSET', keys.event(ctx, id), EVENT.interrupted_token, event.token,
    EVENT.interruptions, count, EVENT.may_repeat, 1, EVENT.updated_ms, ctx.now)
  redis.call('HDEL', keys.event(ctx, id), EVENT.token, EVENT.renewable_until_ms)
  if count >= due.ISOLATED_FROM then
    redis.call('SADD', keys.isolated(ctx), id)
    ctx.any_isolated = true
  end
  local admitted = endings.offer_again(ctx, id, event)
  -- Workers may crash at regular intervals for a reason other than this event. If the event were
  -- retried at once each time, it could be running at every crash, and would wrongly be taken for
  -- the cause. The delay avoids this.
  if admitted and count >= due.ISOLATED_FROM then due.delay(ctx, {due.member(id, event)}) end
  slots.promote_at_freed(ctx)
end

-- Ends an expired lease. If the event was begun, its attempt counts as interrupted. If the event
-- was only offered, it returns to `due` and keeps its slots.
local function end_lease(ctx, member, batch)
  local id = string.gsub(member, '^~', '')
  local key = keys.event(ctx, id)
  local event = records.read(key, LEASE_FIELDS)
  if not records.exists(key, event) or event.state then
    redis.call('ZREM', keys.leased(ctx), member)
    return endings.dequeue(ctx, id, event)
  end
  if not event.token then return due.put(ctx, member, records.integer(event, 'due_ms')) end
  if batch.grace_until > ctx.now then
    return redis.call('ZADD', keys.leased(ctx), batch.grace_until, member)
  end
  interrupt(ctx, id, event, batch)
end

-- Returns members that became due within the last two seconds. Normally the oldest of them come
-- first. While workers turn events away, the newest come first: the backlog may be the events of one
-- slow destination, and all of them may be recent.
local function recent_members(ctx, limit, newest_first)
  local set, now, since = keys.due(ctx), ctx.now, ctx.now - RECENT_MS
  if newest_first then return redis.call('ZREVRANGEBYSCORE', set, now, since, 'LIMIT', 0, limit) end
  return redis.call('ZRANGEBYSCORE', set, since, now, 'LIMIT', 0, limit)
end

-- Selects the members to claim. At most four fifths of them are the oldest members. The others are
-- recent members, so that new events need not wait for a whole backlog. If there is a backlog, also
-- returns whether workers turn events away.
local function select_members(ctx)
  local room = ctx.options.room
  local oldest = math.max(1, math.floor(room * OLDEST_SHARE))
  local members = redis.call('ZRANGEBYSCORE', keys.due(ctx), '-inf', ctx.now, 'LIMIT', 0, oldest)
  if #members < oldest or room <= oldest then return members end
  local turned_away = fair_share.turns_away(ctx)
  local seen = {}
  for _, member in ipairs(members) do seen[member] = true end
  for _, member in ipairs(recent_members(ctx, room, turned_away)) do
    if #members >= room then break end
    if not seen[member] then members[#members + 1] = member end
  end
  return members, turned_away
end

-- Offers an event with gates if all gates admit it.
local function take_gated(ctx, id, batch)
  local event = slots.read(ctx, id)
  if not records.exists(keys.event(ctx, id), event) or event.state then
    redis.call('ZREM', keys.due(ctx), '~' .. id)
    return endings.dequeue(ctx, id, event)
  end
  if not slots.admit(ctx, id, event) then return end
  batch.ids[#batch.ids + 1], batch.gated[id] = id, true
end

local function take(ctx, member, batch)
  local kind = string.sub(member, 1, 2)
  if kind == 's:' then return occurrences.fire(ctx, string.sub(member, 3), batch) end
  if kind == 'g:' then
    batch.closed[#batch.closed + 1] = gate_checks.check(ctx, string.sub(member, 3)) or nil
    return
  end
  if string.sub(kind, 1, 1) == '~' then return take_gated(ctx, string.sub(member, 2), batch) end
  batch.ids[#batch.ids + 1] = member
end

-- Like `take`, but moves an event without gates that workers would turn away to its gate at once.
local function take_or_divert(ctx, member, batch)
  local is_plain = not string.find(member, '^~') and not string.find(member, '^%w:')
  batch.share = batch.share or fair_share.new(ctx)
  if not (is_plain and fair_share.divert(ctx, batch.share, member)) then take(ctx, member, batch) end
end

local function each(ctx, members, handle, batch)
  for _, member in ipairs(members) do
    local ok, problem = pcall(handle, ctx, member, batch)
    if not ok then
      due.quarantine(ctx, member, problem)
      batch.quarantined[#batch.quarantined + 1] = member
    end
  end
end

-- Returns the members of `due` for these ids.
local function members_of(ids, gated)
  if not next(gated) then return ids end
  local members = {}
  for i, id in ipairs(ids) do members[i] = gated[id] and '~' .. id or id end
  return members
end

-- Removes isolated events from the batch: events that were interrupted at least twice. Offers one
-- isolated event by itself, and delays the other isolated events. Returns a list that contains the
-- id of the offered event, or an empty list.
local function separate_isolated(ctx, batch)
  local regular, isolated, later = {}, {}, {}
  if #batch.ids == 0 or not due.any_isolated(ctx) then return isolated end
  for i, is_isolated in ipairs(redis.call('SMISMEMBER', keys.isolated(ctx), unpack(batch.ids))) do
    local list = is_isolated == 0 and regular or #isolated == 0 and isolated or later
    list[#list + 1] = batch.ids[i]
  end
  batch.ids = regular
  due.lease(ctx, members_of(isolated, batch.gated), ctx.options.offer_ms)
  due.delay(ctx, members_of(later, batch.gated))
  return isolated
end

-- The lowest score of a set, or nil.
local function head(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- Sets the time of the next check. Returns the µs until this time, or -1 if no check is needed.
-- While any event is leased, the next check is at most a quarter of `lease_ms` away, because
-- `record_claim` assumes an outage if there was no claim for half of `lease_ms`.
local function micros_to_next(ctx, first_leased)
  local soonest = head(keys.due(ctx))
  if first_leased then
    local near = math.min(first_leased, ctx.now + ctx.options.lease_ms / 4)
    soonest = math.min(soonest or math.huge, near)
  end
  due.set_next_check(ctx, soonest and math.max(soonest, ctx.now))
  return soonest and math.max(0, (soonest - ctx.now) * 1000 - ctx.micros) or -1
end

-- Ends expired leases; returns whether any lease was expired.
local function end_leases(ctx, first_leased, batch)
  if not first_leased or first_leased > ctx.now then return false end
  local expired = redis.call('ZRANGEBYSCORE', keys.leased(ctx), '-inf', ctx.now,
    'LIMIT', 0, LEASES_PER_CALL)
  each(ctx, expired, end_lease, batch)
  return true
end

local function claim(key_names, args)
  local ctx = context.new(key_names, args)
  local expected_ms = ctx.options.expected_ms
  if expected_ms and math.abs(ctx.now - expected_ms) > TOLERANCE_MS then
    return {{}, {}, {}, -1, {}, {}, '', 0, {}, ctx.now, 1, 0, ''}
  end
  local batch = {ids = {}, gated = {}, schedule_ids = {}, interrupted = {}, quarantined = {},
    closed = {}}
  local epoch
  local lost_ms = servers.find_lost_tail(ctx)
  servers.expect_repeats(ctx)
  batch.grace_until, epoch = record_claim(ctx)
  local first_leased = head(keys.leased(ctx))
  local changed = end_leases(ctx, first_leased, batch)
  local selected, turned_away = {}, false
  if ctx.options.room > 0 then selected, turned_away = select_members(ctx) end
  if selected[1] and rq.has_room(ctx) then
    each(ctx, selected, turned_away and take_or_divert or take, batch)
  end
  slots.promote_at_freed(ctx)
  local isolated = separate_isolated(ctx, batch)
  due.lease(ctx, members_of(batch.ids, batch.gated), ctx.options.offer_ms)
  rq.enqueue_envelope(ctx, batch.ids, batch.schedule_ids, false)
  for _, id in ipairs(isolated) do rq.enqueue_envelope(ctx, {id}, {}, true) end
  -- If no lease ended and no member was claimed, `first_leased` is still correct.
  if changed or selected[1] then first_leased = head(keys.leased(ctx)) end
  local next_check = micros_to_next(ctx, first_leased)
  local waits_for_rq = next_check == 0 and rq.note_full(ctx)
  return {batch.ids, isolated, batch.schedule_ids, next_check, batch.interrupted, batch.quarantined,
    epoch, waits_for_rq and 1 or 0, batch.closed, ctx.now, 0, lost_ms,
    servers.run_id()}
end

redis.register_function{function_name = 'claim_' .. VERSION, callback = claim,
  flags = {'allow-oom'}}
