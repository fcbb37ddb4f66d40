-- Takes flow-control keys out of their owner's index whose gates are forgotten. Atomic: one that is
-- in use again stays.
-- KEYS[1] prefix
-- ARGV: now, owner, names as in the index…
-- Returns how many were taken out. A repeat finds nothing left to do.

--# include gates
local owner, gone = ARGV[2], 0

for i = 3, #ARGV do
  if redis.call('EXISTS', gate_key('f:' .. owner .. ':' .. ARGV[i])) == 0 then
    gone = gone + redis.call('ZREM', flows_key(owner), ARGV[i])
  end
end
return gone
