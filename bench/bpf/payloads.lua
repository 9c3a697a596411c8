-- SPDX-License-Identifier: MIT
-- A million hostile payloads - short, split, binary, huge, with one byte changed - through the
-- socket filter of bpf.wakeup, each compared with a classifier in plain Lua. Prints lines `name
-- value unit`:
--   payloads         how many
--   disagreements    must be 0
--   longest          the longest run of 1000 of them, for one
-- The first argument is how many, the second the seed. Ends with status 1 when one is taken for
-- what it is not, with 77 where that cannot be tried.

package.path = "./?.lua;" .. package.path

local bpf = require "ringlet.bpf"

local COUNT, SEED = tonumber(arg[1] or 1e6), tonumber(arg[2] or os.time())
local CHUNK = 1000

local ROUTES = {["/pay"] = "critical", ["/pay*"] = "background", ["/pay/now*"] = "critical",
  ["/a"] = "background", ["/a/b/c"] = "critical", ["/" .. ("l"):rep(60)] = "critical",
  ["/" .. ("l"):rep(61) .. "*"] = "background"}
local PORTS = {[8081] = "background"}

local w, why = bpf.wakeup{routes = ROUTES, ports = PORTS, budget = math.huge}
if not w then
  io.stderr:write(why, "\n")
  os.exit(77)
end

local W = require "spec.wakeup"
local program = require "ringlet.bpf_wakeup_part".here(w.config).object:program "wakeup"

local paths = {"", "/", "/*"}
for path in pairs(ROUTES) do paths[#paths + 1] = path end
table.sort(paths)
math.randomseed(SEED)

local wrong = 0

-- What all of a class are taken for is looked at together, so a wrong one shows.
local function check(class, list)
  local before = W.counts(w)
  for _, segment in ipairs(list) do
    local verdict = program:run{data = segment}
    if verdict ~= -1 then
      wrong = wrong + 1
      print(("# %q was cut: %s"):format(segment, tostring(verdict)))
    end
  end
  local after = W.counts(w)
  for _, name in ipairs{"critical", "normal", "background"} do
    local n = name == class and #list or 0
    if after[name] - before[name] ~= n then
      wrong = wrong + math.abs(after[name] - before[name] - n)
      print(("# seed %d: %d of %d are %s, expected %d"):format(SEED, after[name] - before[name],
        #list, name, n))
    end
  end
end

local lists, longest, done = {}, 0, 0
for i = 1, COUNT do
  local payload, port = W.payload(math.random, paths), 8080 + math.random(0, 1)
  local class = payload ~= "" and W.reference(payload, port, ROUTES, PORTS) or "none"
  local list = lists[class] or {}
  lists[class] = list
  list[#list + 1] = W.segment(payload, port, math.random(5, 15))
  if #list == CHUNK or i == COUNT then
    for name, all in pairs(i == COUNT and lists or {[class] = list}) do
      check(name, all)
      done = done + #all
      local _, _, ns = program:run{data = all[1], repeat_ = 1000}
      longest = math.max(longest, ns)
      lists[name] = nil
    end
  end
end

print(("payloads %d count"):format(done))
print(("disagreements %d count"):format(wrong))
print(("longest %.0f ns"):format(longest))
w:close()
os.exit(wrong == 0 and 0 or 1)
