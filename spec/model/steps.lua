-- SPDX-License-Identifier: MIT
-- steps: every kind of step by name: {gen = fn(random, context) -> step or nil, run = fn(world,
-- step), weight, leaf = may be part of a short callback, setup = made by program.lua itself}.

local all = {}

for _, name in ipairs {"time", "task", "scope", "chan", "select", "sync", "lock", "net"} do
  for op, step in pairs(require("spec.model.steps_" .. name)) do
    assert(not all[op], op)
    all[op] = step
  end
end

return all
