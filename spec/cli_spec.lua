-- SPDX-License-Identifier: MIT
-- The command `ringlet`: what it understands, what it reads, how it says what goes wrong. What it
-- says to a running process is in cli_client_spec.
local H = require "spec.helper"
local cli = require "ringlet.cli"
local options = require "ringlet.cli_options"
local processes = require "ringlet.cli_processes"
local rl = require "ringlet"
local text = require "ringlet.cli_text"
local P = require "spec.process"

local KNOWN = {
  {name = "all", short = "a", kind = "flag", help = "all"},
  {name = "seconds", short = "s", kind = "number", min = 1, value = "N", help = "how long"},
  {name = "output", short = "o", kind = "string", value = "FILE", help = "where to"},
}

local function parse(...)
  return options.parse({...}, 1, KNOWN, 1)
end

describe("what is written after a command", function()
  it("is options and what is none", function()
    assert.same({"12", all = true, seconds = 5, output = "x"},
      parse("--all", "12", "--seconds", "5", "--output=x"))
    assert.same({"12", all = true, seconds = 2.5, output = "-"},
      parse("-a", "-s2.5", "-o", "-", "12"))
    assert.same({"--all"}, parse("--", "--all"))
    assert.same({output = ""}, parse "--output=")
    assert.same({"-"}, parse "-")
    assert.same({}, parse())
  end)

  it("is refused with what is wrong with it", function()
    for _, case in ipairs {
      {"unknown option '--nope'", "--nope"}, {"unknown option '--nope'", "--nope=1"},
      {"unknown option '-x'", "-x"}, {"unknown option '--a'", "--a"},
      {"--all takes no value", "--all=yes"}, {"--seconds needs a value: N", "-s"},
      {"--seconds needs a number of at least 1, not 'soon'", "--seconds", "soon"},
      {"--seconds needs a number of at least 1, not '0'", "--seconds=0"},
      {"--seconds needs a number of at least 1, not 'nan'", "--seconds=nan"},
      {"'b' is one argument too many", "a", "b"},
    } do
      local args, msg = parse(case[2], case[3])
      assert.is_nil(args)
      assert.equal(case[1], msg)
    end
  end)

  it("is in the help", function()
    assert.equal("  -a, --all                  all\n  -s, --seconds N            how long\n"
      .. "  -o, --output FILE          where to", options.help(KNOWN))
    for _, name in ipairs(cli.COMMANDS) do
      local command = require("ringlet.cli_" .. name)
      local help = cli.help(command)
      assert.truthy(help:find("Usage: ringlet " .. name, 1, true), help)
      for line in help:gmatch "[^\n]+" do
        assert.is_true(text.width(line) <= 100, line)
      end
      assert.truthy(cli.overview():find(command.summary, 1, true))
    end
  end)
end)

describe("what people read", function()
  it("are numbers, sizes and spans of time", function()
    for n, shown in pairs {[0] = "0", [999] = "999", [1000] = "1,000", [1234567] = "1,234,567",
      [0.25] = "0.25", [1234.6] = "1,235"} do
      assert.equal(shown, text.number(n))
    end
    for n, shown in pairs {[0] = "0 B", [1023] = "1023 B", [1536] = "1.5 KiB",
      [2 ^ 40] = "1.0 TiB"} do
      assert.equal(shown, text.bytes(n))
    end
    for n, shown in pairs {[12e-6] = "12 us", [0.0042] = "4.2 ms", [0.25] = "250 ms",
      [9.75] = "9.8 s", [312] = "5m12s", [3725] = "1h02m", [90061] = "1d01h"} do
      assert.equal(shown, text.seconds(n))
    end
    assert.equal("- - -", ("%s %s %s"):format(text.number(), text.bytes(), text.seconds()))
  end)

  it("has no control characters", function()
    assert.equal("?[2J?x\195\169?", text.clean "\27[2J\0x\195\169\194\155")
    assert.equal("a=1 b=?", text.labels {b = "\n", a = 1})
  end)

  it("is cut and broken by characters", function()
    assert.equal("\195\169\195\169~", text.cut("\195\169\195\169\195\169\195\169", 3))
    assert.equal("abc", text.cut("abc", 3))
    assert.equal("", text.cut("abc", 0))
    assert.same({"one two", "  three", "  four"}, text.wrap("one two three four", 7))
  end)
end)

describe("processes", function()
  local dir
  before_each(function()
    dir = P.output "mktemp -d":match "%S+"
    for _, name in ipairs {"1.sock", "999999999.sock", "x.sock", "12.txt"} do
      P.write(dir .. "/" .. name, "")
    end
  end)
  after_each(function() os.execute("rm -r " .. dir) end)

  it("are those with a socket; of dead ones it is stale", function()
    assert.same({
      {unix = dir .. "/1.sock", pid = 1, text = "1", stale = false},
      {unix = dir .. "/999999999.sock", pid = 999999999, text = "999999999", stale = true},
    }, processes.list(dir))
    assert.same({}, processes.list(dir .. "/nothing"))
  end)

  it("are meant by number, path and address", function()
    assert.equal(dir .. "/1.sock", processes.find("1", dir).unix)
    assert.same({unix = "/run/7.sock", text = "/run/7.sock", pid = 7}, processes.find "/run/7.sock")
    assert.equal("./s", processes.find("./s").unix)
    assert.equal("/run/s", processes.find("unix:/run/s").unix)
    assert.equal("http://127.0.0.1:90", processes.find(":90").url)
    assert.equal("http://[::1]:90", processes.find("[::1]:90").url)
    assert.equal("http://a.org:90", processes.find("http://a.org:90/").url)
  end)

  it("that cannot be meant are told of", function()
    assert.equal("there is no process 999999999", select(2, processes.find("999999999", dir)))
    assert.matches("^process 1 has no socket ", (select(2, processes.find("1", "/nonexistent"))))
    assert.matches("is no process id", (select(2, processes.find("nonsense", dir))))
    local _, msg = processes.find(nil, "/nonexistent")
    assert.matches("^there is no process to talk to", msg)
    assert.equal(dir .. "/1.sock", processes.find(nil, dir).unix)
  end)
end)

-- What it writes to both streams, and its status.
local function ringlet(args, env)
  local line = "%s timeout -s KILL 60 %s bin/ringlet %s 2>&1 </dev/null; echo code=$?"
  local out = P.output(line:format(env or "", H.interpreter(), args))
  local all, code = out:match "^(.*)code=(%d+)\n$"
  return all, tonumber(code)
end

describe("the command ringlet", function()
  it("says what it can do", function()
    local all, code = ringlet "help"
    assert.equal(0, code)
    assert.equal(cli.overview(), all)
    all, code = ringlet ""
    assert.equal(2, code)
    assert.equal(cli.overview(), all)
    for _, args in ipairs {"help top", "top --help", "top -h"} do
      all, code = ringlet(args)
      assert.equal(0, code)
      assert.equal(cli.help(require "ringlet.cli_top"), all)
    end
  end)

  it("says its version", function()
    local all, code = ringlet "version"
    assert.equal(0, code)
    local vm = H.jit and require("jit").version or "Lua 5.4"
    assert.equal(rl._VERSION .. ", " .. vm .. "\n", all)
  end)

  it("tells in one line what it does not understand, with status 2", function()
    for args, said in pairs {
      ["nope"] = "ringlet: there is no command 'nope': see `ringlet help`\n",
      ["help nope"] = "ringlet: there is no command 'nope': see `ringlet help`\n",
      ["dump --nope"] = "ringlet: unknown option '--nope'; see `ringlet help dump`\n",
      ["ps 12"] = "ringlet: '12' is one argument too many; see `ringlet help ps`\n",
      ["profile --cpu --alloc"] = "ringlet: --cpu and --alloc: one at a time\n",
      ["top --sort size"] = "ringlet: --sort: wait, state, name, label or id, not 'size'\n",
    } do
      local all, code = ringlet(args)
      assert.equal(said, all)
      assert.equal(2, code, args)
    end
  end)

  it("tells in one line what goes wrong, with status 1", function()
    local all, code = ringlet("dump 999999999")
    assert.equal("ringlet: there is no process 999999999\n", all)
    assert.equal(1, code)
    if H.missing.uring then return pending(H.missing.uring) end
    all, code = ringlet "metrics /nonexistent/x.sock"
    assert.equal("ringlet: there is no socket /nonexistent/x.sock\n", all)
    assert.equal(1, code)
    all, code = ringlet("dump 127.0.0.1:" .. P.port())
    assert.matches("^ringlet: nobody listens at 127.0.0.1:%d+: the process is gone\n$", all)
    assert.equal(1, code)
  end)

  it("examines this machine", function()
    local all, code = ringlet "doctor"
    assert.matches("\nringlet runs here[^\n]*\n$", all)
    assert.equal(H.missing.uring and 1 or 0, code)
  end)

  it("is run by LuaJIT when it was installed for Lua 5.1", function()
    local vm = require "ringlet.cli_vm"
    assert.equal("LUA_PATH='a?' LUA_CPATH='b?' exec luajit '/bin/ringlet' 'it'\\''s' '-x'",
      vm.line({[0] = "/bin/ringlet", "it's", "-x"}, "a?", "b?"))
    if P.output "command -v lua5.1" == "" or P.output "command -v luajit" == "" then
      return pending "lua5.1 or luajit is not installed"
    end
    local said = P.output "lua5.1 bin/ringlet version; echo $?"
    assert.matches("^ringlet [%d.]+, LuaJIT.*\n0\n$", said)
    assert.equal("2\n", P.output "lua5.1 bin/ringlet nope 2>/dev/null; echo $?")
  end)
end)
