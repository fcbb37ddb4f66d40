-- Part of schedule_put and schedule_delete: the terms that a schedule is found by, separated by
-- blanks. Expects nothing; new ones are put before old ones are left.

local function put_terms(sid, owner, created, terms)
  for term in string.gmatch(terms, '%S+') do
    redis.call('ZADD', term_key(owner, term), created, sid)
  end
end

local function leave_terms(sid, owner, was, still)
  for term in string.gmatch(was, '%S+') do
    if not string.find(' ' .. still .. ' ', ' ' .. term .. ' ', 1, true) then
      redis.call('ZREM', term_key(owner, term), sid)
    end
  end
end
