-- SPDX-License-Identifier: MIT
-- The examples of the guides do what they say: each is a script of its own, and what it prints is
-- what its `-->` comments promise. One that begins with `-- file: name` is a module for those after
-- it. Pages without a promise are run by nobody.
local H = require "spec.helper"

local function read(path)
  local f = assert(io.open(path))
  local text = f:read "*a"
  f:close()
  return text
end

local function write(path, source)
  local f = assert(io.open(path, "w"))
  f:write(source)
  f:close()
end

local function pages()
  local p, list = io.popen "ls docs/guide/*.md", {}
  for path in p:lines() do
    if read(path):find("-->", 1, true) then
      list[#list + 1] = path
    end
  end
  p:close()
  return list
end

local function promises(source)
  local list = {}
  for line in source:gmatch "%-%-> ([^\n]+)" do
    list[#list + 1] = line
  end
  return table.concat(list, "\n")
end

-- A note of ours on stderr is not what the example prints.
local function printed(out)
  return (out:gsub("ringlet: the job at [^\n]*\n", ""):gsub("%s+$", ""))
end

-- What an example does in real time depends on what else the machine does: one of five runs must
-- keep its promise. In virtual time each does.
local function check(source)
  local out, code
  for _ = 1, source:find('backend = "sim"', 1, true) and 1 or 5 do
    out, code = H.script(source)
    if code == 0 and printed(out) == promises(source) then break end
  end
  assert.equal(0, code, out)
  assert.equal(promises(source), printed(out))
end

-- Why the examples of a page cannot do here what they say; nil: they can.
local function missing(page)
  return page:find "/bpf" and require "spec.bpf".missing "socket_filter"
end

for _, page in ipairs(pages()) do
  describe(page, function()
    it("has examples that do what they say", function()
      if missing(page) then return pending(missing(page)) end
      local dir, path = os.tmpname(), package.path
      os.remove(dir)
      os.execute("mkdir " .. dir)
      package.path = dir .. "/?.lua;" .. path -- luacheck: ignore 122
      finally(function()
        package.path = path -- luacheck: ignore 122
        os.execute("rm -r " .. dir)
      end)
      for source in read(page):gmatch "```lua\n(.-)```" do
        local name = source:match "^%-%- file: (%S+)"
        if name then
          write(dir .. "/" .. name, source)
        else
          check(source)
        end
      end
    end)
  end)
end
