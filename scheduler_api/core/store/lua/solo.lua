-- Part of claim: what travels alone. Expects plain, alone (ids), members; defines part_solo.

-- One that travels alone goes at each look.
local function part_solo()
  if #plain == 0 or not any_alone() then return end
  local together, later = {}, {}
  for i, marked in ipairs(redis.call('SMISMEMBER', SOLO, unpack(plain))) do
    local list = marked == 0 and together or #alone == 0 and alone or later
    list[#list + 1] = plain[i]
  end
  plain = together
  offer(members(alone), offer_ms)
  hold_back(members(later))
end
