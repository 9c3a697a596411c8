-- SPDX-License-Identifier: MIT
-- What channels of every kind do. `rl` is the library, with the constructor of that kind as `chan`.
local assert = require "luassert"
local H = require "spec.helper"

local HERE = "spec/chan_cases.lua:"

return function(kind, rl)
  -- One turn for each task that is ready now.
  local function turn()
    rl.yield()
  end

  H.both(kind, function(it)
    it("try_recv of an empty one says EAGAIN at once, for capacities 0 to 10", function()
      for cap = 0, 10 do
        local v, msg, code = rl.chan(cap):try_recv()
        assert.is_nil(v)
        assert.equal("string", type(msg))
        assert.equal("EAGAIN", code)
      end
    end)

    it("recv of an empty one parks until a value comes, for capacities 0 to 10", function()
      for cap = 0, 10 do
        local ch, got = rl.chan(cap), nil
        local task = rl.go(function() got = ch:recv() end)
        turn()
        assert.is_nil(got)
        assert.is_true(ch:send("v"))
        task:join()
        assert.equal("v", got)
      end
    end)

    it("try_send to a full one says EAGAIN at once, for capacities 0 to 10", function()
      for cap = 0, 10 do
        local ch = rl.chan(cap)
        for i = 1, cap do
          assert.is_true(ch:try_send(i))
        end
        local v, msg, code = ch:try_send("over")
        assert.is_nil(v)
        assert.equal("string", type(msg))
        assert.equal("EAGAIN", code)
        assert.equal(cap, #ch)
      end
    end)

    it("send to a full one parks until there is room, for capacities 0 to 10", function()
      for cap = 0, 10 do
        local ch, sent = rl.chan(cap), false
        for i = 1, cap do
          ch:send(i)
        end
        local task = rl.go(function() ch:send(cap + 1) sent = true end)
        turn()
        turn()
        assert.is_false(sent)
        for i = 1, cap + 1 do
          assert.equal(i, ch:recv())
        end
        task:join()
        assert.is_true(sent)
      end
    end)

    it("gives buffered values in order after close, then ECLOSED for ever", function()
      local ch = rl.chan(5)
      for i = 1, 5 do
        ch:send(i)
      end
      ch:close()
      for i = 1, 5 do
        assert.equal(i, ch:recv())
      end
      for _ = 1, 3 do
        local v, msg, code = ch:recv()
        assert.is_nil(v)
        assert.equal("string", type(msg))
        assert.equal("ECLOSED", code)
        assert.equal("ECLOSED", select(3, ch:try_recv()))
      end
    end)

    it("close wakes every parked receiver", function()
      local ch, codes, tasks = rl.chan(), {}, {}
      for i = 1, 10 do
        tasks[i] = rl.go(function() codes[i] = select(3, ch:recv()) end)
      end
      turn()
      ch:close()
      for i = 1, 10 do
        tasks[i]:join()
        assert.equal("ECLOSED", codes[i])
      end
    end)

    it("keeps 100 values in order for every capacity from 0 to 199", function()
      for cap = 0, 199, H.torture and 40 or 1 do
        local ch = rl.chan(cap)
        local task = rl.go(function()
          for i = 1, 100 do
            ch:send(i)
          end
        end)
        for i = 1, 100 do
          assert.equal(i, ch:recv())
        end
        task:join()
      end
    end)

    it("brings each of 1,000 values of 4 producers to 4 consumers exactly once", function()
      for _, cap in ipairs{0, 1, 10, 128} do
        local ch, seen, total = rl.chan(cap), {}, 0
        for _ = 1, 4 do
          rl.go(function()
            for v = 0, 999 do
              ch:send(v)
            end
          end)
        end
        local done = rl.waitgroup()
        for _ = 1, 4 do
          done:go(function()
            for _ = 1, 1000 do
              local v = ch:recv()
              seen[v] = (seen[v] or 0) + 1
              total = total + 1
            end
          end)
        end
        done:wait()
        assert.equal(4000, total)
        for v = 0, 999 do
          assert.equal(4, seen[v])
        end
      end
    end)

    it("knows its length and capacity in all states", function()
      local ch = rl.chan(3)
      assert.same({0, 3}, {#ch, ch:capacity()})
      ch:send(1)
      ch:send(2)
      assert.same({2, 3}, {#ch, ch:capacity()})
      ch:send(3)
      assert.equal(3, #ch)
      local task = rl.go(function() ch:send(4) end)
      turn()
      assert.equal(3, #ch)
      ch:recv()
      assert.equal(3, #ch)
      task:join()
      ch:close()
      assert.equal(3, #ch)
      ch:recv()
      assert.same({2, 3}, {#ch, ch:capacity()})
      ch:recv()
      ch:recv()
      ch:recv()
      assert.equal(0, #ch)
      assert.same({0, 0}, {#rl.chan(), rl.chan():capacity()})
      assert.equal(0, rl.chan(0):capacity())
    end)

    it("raises for a send on a closed one, at the caller's level", function()
      local ch = rl.chan(1)
      ch:close()
      local err = H.raises_text("send on closed channel", function() ch:send(1) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end)

    it("says ECLOSED for a try_send on a closed one", function()
      local ch = rl.chan(1)
      ch:close()
      local v, _, code = ch:try_send(1)
      assert.is_nil(v)
      assert.equal("ECLOSED", code)
    end)

    it("raises for a close of a closed one, at the caller's level", function()
      local ch = rl.chan()
      ch:close()
      local err = H.raises_text("close of closed channel", function() ch:close() end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end)

    it("raises in senders that are parked when it is closed", function()
      for _, cap in ipairs{0, 2} do
        local ch, tasks = rl.chan(cap), {}
        for i = 1, cap do
          ch:send(i)
        end
        for i = 1, 3 do
          tasks[i] = rl.go(function() ch:send("late") end)
        end
        local joins = {}
        for i = 1, 3 do
          joins[i] = rl.go(function() return tasks[i]:join() end)
        end
        turn()
        turn()
        ch:close()
        for i = 1, 3 do
          local _, ok, err = joins[i]:join()
          assert.is_false(ok)
          assert.is_truthy(tostring(err):find("send on closed channel", 1, true))
        end
        for i = 1, cap do
          assert.equal(i, ch:recv())
        end
        assert.equal("ECLOSED", select(3, ch:recv()))
      end
    end)

    it("refuses to send nil", function()
      local ch = rl.chan(1)
      local err = H.raises(function() ch:send(nil) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
      H.raises(ch.try_send, ch, nil)
      assert.equal(0, #ch)
    end)

    it("wraps around its ring", function()
      local ch, next_in, next_out = rl.chan(7), 1, 1
      for round = 1, 200 do
        for _ = 1, round % 7 + 1 do
          if ch:try_send(next_in) then
            next_in = next_in + 1
          end
        end
        for _ = 1, round % 5 + 1 do
          local v = ch:try_recv()
          if v then
            assert.equal(next_out, v)
            next_out = next_out + 1
          end
        end
      end
      assert.equal(next_in - next_out, #ch)
      assert.is_true(next_in > 300)
    end)

    it("serves parked receivers in the order they came", function()
      local ch, log = rl.chan(), {}
      for i = 1, 5 do
        rl.go(function() local v = ch:recv() log[#log + 1] = i .. v end)
      end
      turn()
      for _, v in ipairs{"a", "b", "c", "d", "e"} do
        ch:send(v)
      end
      turn()
      assert.same({"1a", "2b", "3c", "4d", "5e"}, log)
    end)

    it("serves parked senders in the order they came", function()
      local ch = rl.chan()
      for i = 1, 5 do
        rl.go(function() ch:send(i) end)
      end
      turn()
      for i = 1, 5 do
        assert.equal(i, ch:recv())
      end
    end)

    it("shows effects before a send after its receive", function()
      local ch, x = rl.chan(), 0
      rl.go(function() x = 42 ch:send(true) end)
      ch:recv()
      assert.equal(42, x)
    end)

    it("try_send hands a value to a parked receiver", function()
      local ch = rl.chan()
      local task = rl.go(function() return ch:recv() end)
      turn()
      assert.is_true(ch:try_send("v"))
      assert.equal("EAGAIN", select(3, ch:try_send("w")))
      assert.same({true, "v"}, {task:join()})
    end)

    it("try_recv takes a value from a parked sender", function()
      local ch = rl.chan()
      local task = rl.go(function() return ch:send("v") end)
      turn()
      assert.equal("v", ch:try_recv())
      assert.equal("EAGAIN", select(3, ch:try_recv()))
      assert.same({true, true}, {task:join()})
    end)

    it("recv moves a parked sender's value into the buffer behind the others", function()
      local ch = rl.chan(2)
      ch:send(1)
      ch:send(2)
      local task = rl.go(function() ch:send(3) end)
      turn()
      assert.equal(1, ch:recv())
      assert.equal(2, #ch)
      task:join()
      assert.same({2, 3}, {ch:recv(), (ch:recv())})
    end)

    it("recv and send with a timeout say ETIMEDOUT and leave no waiter", function()
      local ch = rl.chan()
      local v, msg, code = ch:recv(0.001)
      assert.same({nil, "string", "ETIMEDOUT"}, {v, type(msg), code})
      v, msg, code = ch:send("x", 0.001)
      assert.same({nil, "string", "ETIMEDOUT"}, {v, type(msg), code})
      assert.equal("EAGAIN", select(3, ch:try_recv()))
      assert.equal("EAGAIN", select(3, ch:try_send(1)))
    end)

    it("with timeout 0 does not wait but takes what is there", function()
      local ch = rl.chan(1)
      assert.equal("ETIMEDOUT", select(3, ch:recv(0)))
      assert.is_true(ch:send("v", 0))
      assert.equal("ETIMEDOUT", select(3, ch:send("w", 0)))
      assert.equal("v", ch:recv(0))
    end)

    it("iterates until it is closed", function()
      local ch, got = rl.chan(2), {}
      rl.go(function()
        for i = 1, 10 do
          ch:send(i)
        end
        ch:close()
      end)
      for v in ch:iter() do
        got[#got + 1] = v
      end
      assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, got)
    end)

    it("iterates over false", function()
      local ch, n = rl.chan(3), 0
      ch:send(false)
      ch:send(1)
      ch:close()
      for v in ch:iter() do
        n = n + 1
        assert.is_true(v == false or v == 1)
      end
      assert.equal(2, n)
    end)

    it("closed with a message and code gives them after the buffer", function()
      local ch = rl.chan(1)
      ch:send("last")
      ch:close("EBROKEN: the source broke", "EBROKEN")
      assert.equal("last", ch:recv())
      assert.same({nil, "EBROKEN: the source broke", "EBROKEN"}, {ch:recv()})
      assert.same({nil, "EBROKEN: the source broke", "EBROKEN"}, {ch:try_recv()})
    end)

    it("closed with a message gives it to parked receivers", function()
      local ch = rl.chan()
      local task = rl.go(function() return ch:recv() end)
      turn()
      ch:close("EBROKEN: broke", "EBROKEN")
      assert.same({true, nil, "EBROKEN: broke", "EBROKEN"}, {task:join()})
    end)

    it("closed with a message raises it from iter", function()
      local ch, n = rl.chan(2), 0
      ch:send(1)
      ch:send(2)
      ch:close("EBROKEN: broke", "EBROKEN")
      local err = H.raises(function()
        for _ in ch:iter() do
          n = n + 1
        end
      end)
      assert.equal(2, n)
      assert.is_truthy(tostring(err):find("EBROKEN: broke", 1, true), tostring(err))
      assert.equal("EBROKEN", rl.code(err))
    end)

    it("refuses a wrong capacity and unknown options", function()
      for _, bad in ipairs{-1, 1.5, "x", {}, 2 ^ 60, 0 / 0} do
        local err = H.raises(function() rl.chan(bad) end)
        assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
      end
      H.raises_text("overflw", rl.chan, 1, {overflw = "block"})
      H.raises(rl.chan, 1, {overflow = "explode"})
    end)

    it("refuses to be something else", function()
      local ch = rl.chan()
      H.raises(ch.recv, {})
      H.raises(ch.send, 5, 1)
      H.raises(ch.close, rl.event())
      H.raises(ch.try_recv)
    end)

    it("refuses a wrong timeout", function()
      local ch = rl.chan()
      H.raises(ch.recv, ch, "soon")
      H.raises(ch.recv, ch, 0 / 0)
      H.raises(ch.send, ch, 1, {})
    end)

    it("drop_oldest keeps the newest and counts", function()
      local ch = rl.chan(3, {overflow = "drop_oldest"})
      for i = 1, 5 do
        assert.is_true(ch:send(i))
      end
      assert.is_true(ch:try_send(6))
      assert.same({3, 3}, {#ch, ch:dropped()})
      assert.same({4, 5, 6}, {(ch:recv()), (ch:recv()), (ch:recv())})
      assert.equal(3, ch:dropped())
    end)

    it("drop_newest keeps the oldest and counts", function()
      local ch = rl.chan(3, {overflow = "drop_newest"})
      for i = 1, 5 do
        assert.is_true(ch:send(i))
      end
      assert.same({3, 2}, {#ch, ch:dropped()})
      assert.same({1, 2, 3}, {(ch:recv()), (ch:recv()), (ch:recv())})
    end)

    it("drops nothing by default", function()
      local ch = rl.chan(1, {overflow = "block"})
      ch:send(1)
      assert.equal("ETIMEDOUT", select(3, ch:send(2, 0)))
      assert.equal(0, ch:dropped())
      assert.equal(1, ch:recv())
    end)

    it("that drops hands values to parked receivers first", function()
      local ch = rl.chan(1, {overflow = "drop_oldest"})
      local task = rl.go(function() return ch:recv() end)
      turn()
      ch:send("a")
      ch:send("b")
      assert.same({true, "a"}, {task:join()})
      assert.equal("b", ch:recv())
      assert.equal(0, ch:dropped())
    end)

    it("passes a token round a ring of 100 tasks 100 times", function()
      local first = rl.chan()
      local from = first
      for _ = 1, 99 do
        local a, b = from, rl.chan()
        rl.go(function()
          for v in a:iter() do
            b:send(v + 1)
          end
          b:close()
        end)
        from = b
      end
      local v = 0
      for _ = 1, 100 do
        rl.go(function() first:send(v + 1) end)
        v = from:recv()
      end
      assert.equal(10000, v)
      first:close()
      assert.equal("ECLOSED", select(3, from:recv()))
    end)

    it("sieves the first 100 primes", function()
      local stop, ch = rl.event(), rl.chan()
      local tasks = {rl.go(function()
        local out, n = ch, 2
        while rl.select{{send = out, n}, {stop}} == 1 do
          n = n + 1
        end
      end)}
      local prime
      for _ = 1, 100 do
        prime = ch:recv()
        local p, a, b = prime, ch, rl.chan()
        tasks[#tasks + 1] = rl.go(function()
          while true do
            local i, n = rl.select{{a}, {stop}}
            if i == 2 or n % p ~= 0 and rl.select{{send = b, n}, {stop}} == 2 then
              return
            end
          end
        end)
        ch = b
      end
      assert.equal(541, prime)
      stop:set()
      for _, task in ipairs(tasks) do
        assert.is_true((task:join()))
      end
    end)
  end)

  H.sim(kind .. ": a timeout", function(it)
    it("ends a recv and a send after exactly its time", function()
      local ch, t0 = rl.chan(), rl.now()
      ch:recv(3)
      assert.near(3, rl.now() - t0, H.TICK)
      ch:send(1, 4)
      assert.near(7, rl.now() - t0, H.TICK)
    end)

    it("does not fire when the value came in time", function()
      local ch, t0 = rl.chan(), rl.now()
      rl.go(function() rl.sleep(1) ch:send("v") end)
      assert.equal("v", ch:recv(5))
      assert.near(1, rl.now() - t0, H.TICK)
      rl.sleep(10)
      assert.equal("EAGAIN", select(3, ch:try_recv()))
    end)

    it("takes the sender out of the queue, those behind stay", function()
      local ch = rl.chan()
      local a = rl.go(function() return ch:send("a", 1) end)
      local b = rl.go(function() return ch:send("b", 10) end)
      rl.sleep(2)
      assert.equal("ETIMEDOUT", select(4, a:join()))
      assert.equal("b", ch:recv())
      assert.same({true, true}, {b:join()})
      assert.equal("EAGAIN", select(3, ch:try_recv()))
    end)

    it("takes a negative one as 0", function()
      local t0 = rl.now()
      assert.equal("ETIMEDOUT", select(3, rl.chan():recv(-1)))
      assert.equal(t0, rl.now())
    end)

    it("takes an endless one", function()
      local ch = rl.chan()
      rl.go(function() rl.sleep(1e6) ch:send("v") end)
      assert.equal("v", ch:recv(math.huge))
    end, {timeout = 0})
  end)

  H.sim(kind .. ": a producer and a consumer", function(it)
    it("alternate at capacity 0, and fill and drain at capacity 3", function()
      local function trace(cap)
        local ch, log = rl.chan(cap), {}
        rl.go(function()
          for i = 1, 4 do
            ch:send(i)
            log[#log + 1] = "s" .. i
          end
          ch:close()
        end)
        for v in ch:iter() do
          log[#log + 1] = "r" .. v
        end
        return log
      end
      for _, cap in ipairs{0, 3} do
        local sent, received = 0, 0
        local log = trace(cap)
        assert.equal(8, #log)
        for _, entry in ipairs(log) do
          if entry:sub(1, 1) == "s" then
            sent = sent + 1
          else
            received = received + 1
          end
          assert.is_true(sent - received <= cap + 1 and received - sent <= 1)
        end
        assert.same(log, trace(cap))
      end
    end)
  end)

  H.sim(kind .. ": a random mix of operations", function(it, backend)
    for seed = 1, 10 do
      it("agrees with a plain queue, seed " .. seed .. " on " .. backend, function()
        local x = seed * 7919
        local function random(n)
          x = (x * 1103515245 + 12345) % 2147483648
          return math.floor(x / 65536) % n + 1
        end
        local cap = random(5) - 1
        local ch, sent, received = rl.chan(cap), {}, {}
        local wg = rl.waitgroup()
        for p = 1, 4 do
          wg:go(function()
            for i = 1, 50 do
              local v = p * 1000 + i
              local k = random(4)
              local ok
              if k == 1 then
                ok = ch:try_send(v)
              elseif k == 2 then
                ok = ch:send(v, random(3) / 10)
              else
                ok = ch:send(v, 100)
              end
              if ok then
                sent[v] = true
              end
              if random(3) == 1 then
                rl.sleep(random(5) / 10)
              end
            end
          end)
        end
        local consumers = rl.waitgroup()
        for _ = 1, 3 do
          consumers:go(function()
            while true do
              local v, _, code = ch:recv(random(5) / 10)
              if v then
                assert.is_nil(received[v])
                received[v] = true
              elseif code == "ECLOSED" then
                return
              end
            end
          end)
        end
        wg:wait()
        ch:close()
        consumers:wait()
        assert.same(sent, received)
      end, {seed = seed})
    end
  end)
end
