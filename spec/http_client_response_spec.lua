-- SPDX-License-Identifier: MIT
-- Responses that are streams, and what becomes of their connections.
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.http_script"
local http = require "ringlet.http"

local fails = S.fails

local CHUNKS = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

-- Three pieces, each of which waits until it is let go.
local function three(conn, request)
  request.go = rl.chan(3)
  conn:write(CHUNKS)
  for _, piece in ipairs{"one", "two", "three"} do
    conn:flush()
    request.go:recv()
    conn:write(("%x\r\n%s\r\n"):format(#piece, piece))
  end
  conn:write "0\r\nSum: 11\r\n\r\n"
end

-- Let so many pieces of the last response go.
local function let(s, n)
  for _ = 1, n do s.seen[#s.seen].go:send(true) end
end

H.both("http.stream", function(it)
  it("gives the head before the body is there, and the body in pieces", function()
    S.with(three, function(client, s)
      local res = assert(client:stream("GET", s.url))
      assert.equal(200, res.status)
      assert.is_nil(res.body)
      assert.equal(1, client:stats().busy)
      assert.equal("ringlet.client_response: 200 " .. s.url .. "/, unread", tostring(res))
      let(s, 3)
      local pieces = {}
      for piece in res:chunks() do pieces[#pieces + 1] = piece end
      assert.equal("onetwothree", table.concat(pieces))
      assert.same({sum = "11"}, res:trailers())
      assert.equal(1, client:stats().idle)
      fails("EOF", res:read())
      assert.is_true(res:close())
      res = client:stream("GET", s.url)
      let(s, 3)
      assert.equal("onetwothree", res:read_all())
      assert.equal(1, s.connections)
    end)
  end)

  it("reads piece by piece", function()
    S.with(three, function(client, s)
      local res = client:stream("GET", s.url)
      let(s, 1)
      assert.equal("one", res:read())
      let(s, 1)
      assert.equal("two", res:read(20))
      let(s, 1)
      assert.equal("three", res:read_all())
      assert.equal("", res:read_all())
      fails("EOF", res:read())
    end)
  end)

  it("that is closed early ends its connection, once", function()
    S.with(three, function(client, s)
      for _ = 1, 2 do
        local res = client:stream("GET", s.url)
        let(s, 1)
        res:read()
        assert.is_true(res:close())
        assert.is_true(res:close())
        fails("ECLOSED", res:read())
        assert.equal(0, client:stats().open)
        assert.equal("200", tostring(res.status))
      end
      assert.equal(2, s.connections)
      local res = client:stream("GET", s.url)
      let(s, 1)
      local step, state = res:chunks()
      assert.equal("one", step(state))
      res:close()
      assert.equal(0, client:stats().open)
    end)
  end)

  it("needs no close when there is no body, or it came with the head", function()
    S.with(S.OK, function(client, s)
      local res = client:stream("GET", s.url)
      assert.same({1, 0}, {client:stats().idle, client:stats().busy})
      assert.equal("ok", res:read_all())
      assert.equal(200, client:stream("HEAD", s.url).status)
      assert.equal(1, s.connections)
    end)
  end)

  it("reads no more than it is told to", function()
    S.with(S.response(("x"):rep(100)), function(client, s)
      fails("EMSGSIZE", client:stream("GET", s.url):read_all(99))
      assert.equal(100, #client:stream("GET", s.url):read_all(100))
    end)
    S.with(three, function(client, s)
      local function stream(opts)
        local res = client:stream("GET", s.url, opts)
        let(s, 3)
        return res
      end
      fails("EMSGSIZE", stream():read_all(10))
      assert.equal(0, client:stats().open)
      assert.equal(11, #stream():read_all(11))
      local res = stream{max_body = 10}
      local _, err = pcall(function() for _ in res:chunks() do end end)
      assert.equal("EMSGSIZE", rl.code(err))
    end)
  end)

  it("raises in a loop when the body does not end as it should, and says so to read", function()
    local function cut(conn)
      conn:write(CHUNKS .. "3\r\none\r\n")
      conn:flush()
      rl.sleep(0.01)
      return true
    end
    S.with(cut, function(client, s)
      local got = {}
      local _, err = pcall(function()
        for piece in client:stream("GET", s.url):chunks() do got[#got + 1] = piece end
      end)
      assert.same({"one"}, got)
      assert.equal("EPROTO", rl.code(err))
      assert.is_truthy(tostring(err):find("ends before it is complete", 1, true))
      local res = client:stream("GET", s.url)
      assert.equal("one", res:read())
      fails("EPROTO", res:read())
      fails("ECLOSED", res:read())
      assert.equal(0, client:stats().open)
    end)
  end)

  it("is read by one task at a time", function()
    S.with(three, function(client, s)
      local res = client:stream("GET", s.url)
      local first = rl.go(res.read_all, res)
      H.eventually("it reads", function() return first:status() == "parked" end)
      H.raises_text("another task is reading this response", res.read, res)
      let(s, 3)
      assert.same({true, "onetwothree"}, {first:join()})
    end)
  end)

  it("that nobody has any more gives its place back", function()
    local function stuck(conn)
      conn:write(CHUNKS .. "3\r\none\r\n")
      while conn:read() do rl.yield() end
      return true
    end
    S.with(stuck, {max_per_host = 1}, function(client, s)
      for i = 1, 3 do
        -- A call of its own: nothing of it may be left on this stack.
        local done = rl.go(function()
          local res = assert(client:stream("GET", s.url, {acquire_timeout = 30}))
          res:read()
        end)
        assert.is_true((done:join()))
        done = nil -- luacheck: ignore 311
        H.eventually("its place is free", function()
          H.collect()
          rl.sleep(0.01)
          return client:stats().open == 0 or rl.sleep(0.3)
        end)
        assert.same({0, i}, {client:stats().open, s.connections})
      end
    end)
  end)
end)

H.sim("http.stream with a server that sends without end", function(it)
  it("takes no more from the server than it is asked for", function()
    local sent = 0
    local function endless(conn)
      conn:write(CHUNKS)
      while conn:write("2710\r\n", ("x"):rep(10000), "\r\n") do sent = sent + 1 end
      return true
    end
    S.with(endless, function(client, s)
      local res = client:stream("GET", s.url)
      res:read()
      rl.sleep(0.05)
      local before = sent
      rl.sleep(0.05)
      assert.equal(before, sent)
      res:close()
    end)
  end)
end)

describe("a response that was not read", function()
  it("does not outlive its run", function()
    local client, res = http.client(), nil
    H.run(function()
      local s = S.serve(three)
      res = client:stream("GET", s.url)
      let(s, 1)
      assert.equal("one", res:read())
      s.stop()
    end)
    H.run(function()
      fails("ECLOSED", res:read())
      assert.is_true(res:close())
    end)
    res = nil -- luacheck: ignore 311
    H.collect()
    H.run(function()
      local s = S.serve(S.OK)
      assert.equal("ok", client:get(s.url).body)
      s.stop()
    end)
  end)
end)
