-- SPDX-License-Identifier: MIT
-- cycles: tells objects that a garbage collection cycle is over, without looking for it.
--
-- A sentinel that nothing refers to is finalised once a cycle, and leaves another one behind. There
-- is one for a Lua state, and none while nobody watches. Who watches is held weakly, so it is not
-- kept alive, and when the last has gone the sentinel is not made anew.
--
-- Objects are told from a finaliser: at any instruction that allocates, of any task or of none, or
-- while the state is closed. `cycle_` must not raise, park, or call what others wrote.

local M = {}

local newproxy = rawget(_G, "newproxy")

local watchers = setmetatable({}, {__mode = "k"})
local armed = false
local arm

local function tell()
  for object in next, watchers do
    object:cycle_()
  end
  if next(watchers) ~= nil then
    arm()
  end
end

-- Without memory for another sentinel nobody is told until somebody new watches. An error would be
-- raised in whatever code happens to run.
local function on_cycle()
  armed = false
  pcall(tell)
end

if newproxy then -- LuaJIT, where tables are not finalised
  function arm()
    getmetatable(newproxy(true)).__gc = on_cycle
    armed = true
  end
else
  local sentinel = {__gc = on_cycle}
  function arm()
    setmetatable({}, sentinel)
    armed = true
  end
end

--- Call object:cycle_() at the end of every garbage collection cycle, as long as the object lives.
-- In the generational mode of Lua 5.4 a minor collection is a cycle.
-- @tparam table object
-- @source R. Ierusalimschy, "Programming in Lua", 4th edition, "Finalizers"
function M.watch(object)
  watchers[object] = true
  if not armed then
    arm()
  end
end

return M
