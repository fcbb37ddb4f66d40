-- Errors that pcall caught.

-- Servers raise tables, Lua raises strings, and an imitation of a server may raise userdata.
function errors.text(problem)
  return tostring(type(problem) == 'table' and problem.err or problem)
end
