-- The journal of an owner's events, the log of an event's attempts, and the feed of all attempts.
local FEED_LENGTH = 10000

-- Appends an entry to the owner's journal if the event is journaled. For the kinds, see `journal`
-- in keys.py.
function journal.append(ctx, event, id, kind, attempt)
  if not event.journaled then return end
  redis.call('XADD', keys.journal(ctx, event.owner), '*', 'e', id, 'k', kind, 'n', attempt or 0)
end

-- Tells the readers of the feed of an attempt. Without readers, the feed does not exist.
local function feed(ctx, id, number)
  local key = keys.attempt_feed(ctx)
  if ctx.has_readers == nil then ctx.has_readers = redis.call('EXISTS', key) == 1 end
  if not ctx.has_readers then return end
  redis.call('XADD', key, 'MAXLEN', '~', FEED_LENGTH, '*', 'e', id, 'n', number)
end

-- Logs an attempt. `kind`: a (settled), i (interrupted) or l (settled too late). `next_ms`: time of
-- the next attempt, or 0. `entry`: JSON.
function journal.log_attempt(ctx, id, number, kind, next_ms, entry)
  redis.call('HSET', keys.log(ctx, id), number,
    string.format('%s %.0f %.0f %s', kind, ctx.now, next_ms, entry))
  feed(ctx, id, number)
end
