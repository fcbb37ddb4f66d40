-- What happened to events: the journal of an owner, and the log of an event's attempts.

-- Only events that ask for it are journaled. Kinds are listed in `keys.py`.
function journal.append(ctx, event, id, kind, attempt)
  if not event.journaled then return end
  redis.call('XADD', keys.journal(ctx, event.owner), '*', 'e', id, 'k', kind, 'n', attempt or 0)
end

-- Kind: a settled, i interrupted, l settled too late. `next_ms` is 0 when no retry follows.
function journal.log_attempt(ctx, id, number, kind, next_ms, line)
  redis.call('HSET', keys.log(ctx, id), number,
    string.format('%s %.0f %.0f %s', kind, ctx.now, next_ms, line))
end
