-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local t = require "ringlet.test"
local H = require "spec.helper"

describe("ringlet.test", function()
  describe("run", function()
    it("runs the function in a task", function()
      local id
      t.run(function() id = rl.self().id end, {backend = "sim"})
      assert.is_not_nil(id)
    end)

    it("raises the function's error", function()
      local err = H.raises(t.run, function() error("the failure", 0) end, {backend = "sim"})
      assert.is_truthy(tostring(err):find("the failure", 1, true))
    end)

    it("keeps the kind of a failed assertion, with the seed in its message", function()
      local err = H.raises(t.sim, 77, function() assert.equal(1, 2) end)
      assert.is_truthy(tostring(err):find("seed 77", 1, true))
      assert.is_truthy(tostring(err):find("Expected objects", 1, true))
      assert.equal("table", type(err))
    end)

    it("fails when the test takes too long", function()
      local err = H.raises(t.run, function() rl.sleep(100) end, {backend = "sim", timeout = 3})
      assert.is_truthy(tostring(err):find("timed out after 3 s", 1, true), tostring(err))
      assert.is_truthy(tostring(err):find("test_spec.lua", 1, true), tostring(err))
    end)

    it("fails when a child keeps it from ending", function()
      local err = H.raises(t.run, function()
        rl.scope(function(s) s:go(rl.sleep, 100) end)
      end, {backend = "sim", timeout = 3})
      assert.is_truthy(tostring(err):find("timed out", 1, true), tostring(err))
    end)

    it("fails when a task is left", function()
      local err = H.raises(t.run, function()
        rl.go(rl.sleep, 100)
        rl.go(function() rl.chan():recv() end)
      end, {backend = "sim", timeout = 50})
      assert.is_truthy(tostring(err):find("2 tasks", 1, true), tostring(err))
    end)

    it("says of a leaked task what it waits for, where, and where it was made; at once", function()
      local function worker() rl.chan(2):recv() end
      local line = debug.getinfo(1, "l").currentline
      local err = H.raises(t.run, function()
        rl.go(worker):name("lost one")
        rl.go(rl.sleep, 0.9)
      end, {backend = "sim"})
      local text = tostring(err)
      assert.matches("2 tasks still live after the test\nleaked, nothing can ever wake them:\n"
        .. 'task %d+ "lost one" on shard 1 %[chan receive, 0.000 s%]:\nwaits on ringlet.chan: 0/2\n'
        .. "[^\n]*\n[^\n]*test_spec.lua:" .. line - 1 .. "\n"
        .. "created at [^\n]*test_spec.lua:" .. line + 2, text)
      assert.is_nil(text:find "sleep")
    end)

    it("gives what it started a moment to end", function()
      local ended
      t.run(function()
        rl.go(function() rl.sleep(0.5) ended = true end)
      end, {backend = "sim"})
      assert.is_true(ended)
    end)

    it("closes idle connections of HTTP clients, which are no leak; others are", function()
      local http, client = require "ringlet.http", require "ringlet.http".client()
      for _, backend in ipairs(H.BACKENDS) do
        if not H.missing[backend] then
          t.run(function()
            local server = http.serve("127.0.0.1:0", function(_, res) res:send(200, "x") end)
            local url = "http://" .. server:addr()
            assert(http.get(url))
            assert(client:get(url))
            assert.equal(1, client:stats().idle)
            rl.go(function() rl.sleep(0.05) server:stop(1) end)
          end, {backend = backend})
          assert.equal(0, client:stats().idle)
        end
      end
      local held
      local err = H.raises(t.run, function()
        local server = http.serve("127.0.0.1:0", function(_, res) res:write "x" rl.sleep(1e3) end)
        held = assert(http.stream("GET", "http://" .. server:addr()))
        rl.go(function() rl.sleep(0.5) server:stop(0) end)
      end, {backend = "sim"})
      assert.is_truthy(held)
      assert.is_truthy(tostring(err):find("left behind", 1, true), tostring(err))
    end)

    it("does not look for leaks with leak = false", function()
      local ended
      t.run(function()
        rl.go(function() rl.sleep(3) ended = true end)
      end, {backend = "sim", leak = false, timeout = 0})
      assert.is_true(ended)
    end)

    it("fails when a root task fails and nobody joins it", function()
      local err = H.raises(t.run, function()
        rl.go(function() error("unseen", 0) end)
        rl.yield()
      end, {backend = "sim"})
      assert.is_truthy(tostring(err):find("unseen", 1, true), tostring(err))
    end)

    it("does not fail when a joined task fails", function()
      t.run(function()
        local ok, err = rl.go(function() rl.yield() error("seen", 0) end):join()
        assert.same({false, "seen"}, {ok, err})
      end, {backend = "sim"})
    end)

    it("passes the other options to run", function()
      H.raises_text("nonsense", t.run, function() end, {nonsense = 1})
      local err = H.raises(t.run, function() error("x", 0) end, {backend = "sim", seed = 12})
      assert.is_truthy(tostring(err):find("seed 12", 1, true), tostring(err))
    end)

    it("leaves the default handler of errors and no task", function()
      pcall(t.run, function() rl.sleep(100) end, {backend = "sim", timeout = 1})
      assert.equal(0, rl.stats().tasks)
      assert.equal("ok", H.run(function() rl.sleep(1) return "ok" end))
    end)
  end)

  describe("sim", function()
    it("moves time only when all tasks wait, and exactly", function()
      t.sim(1, function()
        local t0 = rl.now()
        rl.sleep(3600)
        assert.near(3600, rl.now() - t0, H.TICK)
      end, {timeout = 0})
    end)

    it("passes the seed and puts it into the message of a failure", function()
      local err = H.raises(t.sim, 4711, function(seed) error("with " .. seed, 0) end)
      assert.is_truthy(tostring(err):find("with 4711", 1, true), tostring(err))
      assert.is_truthy(tostring(err):find("seed 4711", 1, true), tostring(err))
    end)

    it("puts the seed into the message of an error that is a table", function()
      local err = H.raises(t.sim, 4711, function()
        error(setmetatable({}, {__tostring = function() return "mine" end}))
      end)
      assert.is_truthy(tostring(err):find("mine", 1, true), tostring(err))
      assert.is_truthy(tostring(err):find("seed 4711", 1, true), tostring(err))
    end)

    it("repeats a run exactly", function()
      local function order(seed)
        local log = {}
        t.sim(seed, function()
          local wg = rl.waitgroup()
          for i = 1, 8 do
            wg:go(function() rl.sleep(1) log[#log + 1] = i end)
          end
          wg:wait()
        end)
        return table.concat(log, " ")
      end
      local orders, different = {}, 0
      for seed = 1, 5 do
        assert.equal(order(seed), order(seed))
        if not orders[order(seed)] then
          orders[order(seed)] = true
          different = different + 1
        end
      end
      assert.is_true(different > 1)
    end)
  end)

  describe("seeds", function()
    it("runs every seed", function()
      local seen = {}
      t.seeds(5, function(seed) seen[#seen + 1] = seed end)
      assert.same({1, 2, 3, 4, 5}, seen)
    end)

    it("stops at the first that fails and names it", function()
      local last
      local err = H.raises(t.seeds, 9, function(seed)
        last = seed
        assert.is_true(seed < 4)
      end)
      assert.equal(4, last)
      assert.is_truthy(tostring(err):find("seed 4", 1, true), tostring(err))
    end)

    it("runs the one of RINGLET_SEED alone", function()
      local out = H.script([[
        local t = require "ringlet.test"
        t.seeds(5, function(seed) io.write(seed, "\n") end)
      ]], "RINGLET_SEED=99")
      assert.equal("99\n", out)
    end)
  end)

  describe("it", function()
    t.it("runs in a task", function()
      assert.equal("running", rl.self():status())
    end)

    t.it("runs under virtual time when asked", function()
      local t0 = os.time()
      rl.sleep(36000)
      assert.is_true(os.time() - t0 < 3600)
    end, {backend = "sim"})

    it("raises outside of busted", function()
      local out = H.script[[
        local t = require "ringlet.test"
        print(pcall(t.it, "name", function() end))
      ]]
      assert.is_truthy(out:find("busted", 1, true), out)
      assert.equal("false", out:match("^%a+"))
    end)
  end)
end)
