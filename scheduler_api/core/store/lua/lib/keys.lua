-- The names of all keys. `scheduler_api/core/store/keys.py` builds the same names and documents the
-- type, contents and lifetime of each key.

-- Returns the key with this name in Python's `keys`, without the prefix.
function keys.named(ctx, name) return ctx.prefix .. name end

function keys.due(ctx) return ctx.due end
function keys.leased(ctx) return ctx.leased end
function keys.paused_schedules(ctx) return ctx.prefix .. 'paused_schedules' end
function keys.quarantine(ctx) return ctx.prefix .. 'quarantine' end
function keys.quarantine_reasons(ctx) return ctx.prefix .. 'quarantine_reasons' end
function keys.isolated(ctx) return ctx.prefix .. 'isolated' end
function keys.next_check(ctx) return ctx.prefix .. 'next_check' end
function keys.waiting_gates(ctx) return ctx.prefix .. 'waiting_gates' end
function keys.held_destinations(ctx) return ctx.prefix .. 'held_destinations' end
function keys.turned_away(ctx) return ctx.prefix .. 'turned_away' end
function keys.rq_full(ctx) return ctx.prefix .. 'rq_full' end
function keys.last_claim_at(ctx) return ctx.prefix .. 'last_claim_at' end
function keys.lease_grace_until(ctx) return ctx.prefix .. 'lease_grace_until' end
function keys.epoch(ctx) return ctx.prefix .. 'epoch' end
function keys.server(ctx) return ctx.prefix .. 'server' end
function keys.lost_tail(ctx) return ctx.prefix .. 'lost_tail' end
function keys.repeats_before(ctx) return ctx.prefix .. 'repeats_before' end
function keys.clock_step(ctx) return ctx.prefix .. 'clock_step' end
function keys.full(ctx) return ctx.prefix .. 'full' end
function keys.alerts(ctx) return ctx.prefix .. 'alerts' end
function keys.processes(ctx) return ctx.prefix .. 'processes' end
function keys.owners(ctx) return ctx.prefix .. 'owners' end
function keys.superseded(ctx) return ctx.prefix .. 'superseded' end
function keys.sequence(ctx) return ctx.prefix .. 'seq' end
function keys.wake(ctx) return ctx.prefix .. 'wake' end

function keys.alive(ctx, role) return ctx.prefix .. 'alive:' .. role end
function keys.event(ctx, id) return ctx.prefix .. 'e:' .. id end
function keys.log(ctx, id) return ctx.prefix .. 'log:' .. id end
function keys.schedule(ctx, sid) return ctx.prefix .. 's:' .. sid end
function keys.template(ctx, sid, revision)
  return ctx.prefix .. 't:' .. sid .. ':' .. revision
end
function keys.body(ctx, id, revision)
  if revision and revision ~= '' then return ctx.prefix .. 'b:' .. id .. '.' .. revision end
  return ctx.prefix .. 'b:' .. id
end
function keys.shared_body(ctx, owner, name) return ctx.prefix .. 'sb:' .. owner .. ':' .. name end
function keys.sharers(ctx, owner, name) return ctx.prefix .. 'sbe:' .. owner .. ':' .. name end
function keys.occurrences(ctx, sid) return ctx.prefix .. 'occ:' .. sid end
function keys.skipped(ctx, sid) return ctx.prefix .. 'skipped:' .. sid end
function keys.issued_id(ctx, nonce) return ctx.prefix .. 'issued_id:' .. nonce end
function keys.last_report(ctx, worker) return ctx.prefix .. 'last_report:' .. worker end

-- Keys of an owner.
function keys.by_time(ctx, owner, state) return ctx.prefix .. 'ix:' .. owner .. ':' .. state end
function keys.finished(ctx, owner, state) return ctx.prefix .. 'fin:' .. owner .. ':' .. state end
function keys.schedules(ctx, owner) return ctx.prefix .. 'ix:' .. owner .. ':schedules' end
function keys.search_term(ctx, owner, term) return ctx.prefix .. 'tm:' .. owner .. ':' .. term end
function keys.names(ctx, owner) return ctx.prefix .. 'names:' .. owner end
function keys.groups(ctx, owner) return ctx.prefix .. 'groups:' .. owner end
function keys.journal(ctx, owner) return ctx.prefix .. 'journal:' .. owner end
function keys.queues(ctx, owner) return ctx.prefix .. 'queues:' .. owner end
function keys.flow_keys(ctx, owner) return ctx.prefix .. 'flow_keys:' .. owner end
function keys.deduplication(ctx, owner, name) return ctx.prefix .. 'dd:' .. owner .. ':' .. name end

function keys.removed(ctx, tenant) return ctx.prefix .. 'removed:' .. tenant end
function keys.tenant(ctx, tenant) return ctx.prefix .. 'tn:' .. tenant end
function keys.audit(ctx, holder) return ctx.prefix .. 'audit:' .. holder end
function keys.counts(ctx, holder, hour) return ctx.prefix .. 'counts:' .. holder .. ':' .. hour end
function keys.attempt_feed(ctx) return ctx.prefix .. 'attempt_feed' end
function keys.totals(ctx) return ctx.prefix .. 'totals' end
function keys.destination_counts(ctx, holder, hour)
  return ctx.prefix .. 'destination_counts:' .. holder .. ':' .. hour
end
-- `job` is `<tenant>:<job id>`.
function keys.letter_job(ctx, job) return ctx.prefix .. 'letter_job:' .. job end

-- Keys of a gate.
function keys.gate(ctx, gate)
  return ctx.prefix .. (gates.is_queue(gate) and '' or 'g:') .. gate
end
function keys.order(ctx, queue) return ctx.prefix .. 'ql:' .. string.sub(queue, 3) end
function keys.waiters(ctx, gate) return ctx.prefix .. 'gw:' .. gate end
function keys.holders(ctx, gate) return ctx.prefix .. 'gh:' .. gate end
function keys.reserved(ctx, gate) return ctx.prefix .. 'gr:' .. gate end
function keys.not_begun(ctx, gate) return ctx.prefix .. 'gp:' .. gate end
function keys.begins(ctx, gate) return ctx.prefix .. 'gl:' .. gate end
function keys.health(ctx, gate) return ctx.prefix .. 'gf:' .. gate end
function keys.routes_of(ctx, gate) return ctx.prefix .. 'gt:' .. gate end
function keys.routes(ctx) return ctx.prefix .. 'routes' end
