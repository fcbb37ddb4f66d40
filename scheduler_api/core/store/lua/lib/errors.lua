-- Texts of the errors that pcall catches.

-- Redis raises tables, Lua raises strings, and fakeredis raises userdata.
function errors.text(problem)
  return tostring(type(problem) == 'table' and problem.err or problem)
end
