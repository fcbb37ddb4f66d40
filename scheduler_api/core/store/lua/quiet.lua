-- Part of claim: whether the store or all tickers were away, and until when begun leases are
-- spared for it. Expects lease_ms, quiet_ms; defines quiet (ms).

-- While the store or all tickers were away nobody could renew, so for a quiet time nothing
-- begun may end; after a step back of the clock no lease may lie further off than one lease,
-- and gates are looked at anew.
local function quiet_until()
  local beat = tonumber(redis.call('GET', P .. 'beat') or now)
  redis.call('SET', P .. 'beat', now)
  if now - beat <= lease_ms / 2 and now >= beat then
    return tonumber(redis.call('GET', P .. 'quiet') or 0)
  end
  local far = redis.call('ZRANGEBYSCORE', LEASED, '(' .. (now + lease_ms), '+inf')
  for _, id in ipairs(far) do redis.call('ZADD', LEASED, now + lease_ms, id) end
  for _, gate in ipairs(now < beat and redis.call('SMEMBERS', LINES) or {}) do
    redis.call('ZADD', DUE, now, 'g:' .. gate)
  end
  redis.call('SET', P .. 'quiet', now + quiet_ms)
  return now + quiet_ms
end

local quiet = quiet_until()
