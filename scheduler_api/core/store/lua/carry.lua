-- Part of claim: hands what it offers to RQ as envelopes, in the same script, so that nothing lies
-- between an offer and its way to a worker.
-- Behind the claim's own arguments, unless it only offers: the list of RQ's queue, the set of its
--   queues, the prefix of its jobs' keys, the most jobs that may wait, and what they have in
--   common: id, call up to its arguments, call behind them, pairs of field and value.
-- Expects nothing; defines rq_has_room, carry, stall.
local LIST, LISTS, JOBS, MOST_WAITING, JOB, HEAD, TAIL = unpack(ARGV, 7, 13)
local TELLING = 10
local carried = 0

-- RQ is kept shallow: a backlog stands in `due`, where it can be cancelled.
local function rq_has_room()
  return not LIST or redis.call('LLEN', LIST) < tonumber(MOST_WAITING)
end

-- Whether what is overdue waits for room in RQ: then whoever begins looks for some (`called`).
local function stall(next_look)
  if next_look ~= 0 or rq_has_room() then return false end
  redis.call('SET', STALLED, MOST_WAITING .. ' ' .. LIST)
  return true
end

local function array(ids) return #ids == 0 and '[]' or cjson.encode(ids) end

-- Unlike any other job of any ticker, even where the answer to this call is lost. Of a small
-- envelope the name tells all: its worker need not read the job.
local function next_job_id(ids, schedule_ids, is_alone)
  carried = carried + 1
  local job = string.format('%s-%.0f-%d', JOB, now * 1000 + micros, carried)
  if #ids > TELLING or #schedule_ids > 0 or is_alone then return job end
  for _, id in ipairs(ids) do
    if not string.find(id, '^%w+$') then return job end
  end
  return job .. '-with-' .. table.concat(ids, '_')
end

local function carry(ids, schedule_ids, is_alone)
  if not LIST or #ids + #schedule_ids == 0 then return end
  local job = next_job_id(ids, schedule_ids, is_alone)
  redis.call('HSET', JOBS .. job, 'data',
    HEAD .. array(ids) .. ',' .. array(schedule_ids) .. ',' .. tostring(is_alone) .. TAIL,
    'description', #ids .. ' events, ' .. #schedule_ids .. ' schedules', unpack(ARGV, 14))
  redis.call('SADD', LISTS, LIST)
  redis.call('RPUSH', LIST, job)
end
