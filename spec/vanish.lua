-- SPDX-License-Identifier: MIT
-- Clients of an HTTP server that vanish, at every stage of a request and in the middle of each, by
-- every way there is, and the handler of the server they ask. For specs and the soak.

local net = require "ringlet.net"
local rl = require "ringlet"

local M = {}

local PIECE = ("0123456789abcdef"):rep(512)

local PATHS = {
  ["/slow"] = function(_, res)
    rl.sleep(0.05)
    res:send(200, "ok")
  end,
  ["/gone"] = function(_, res)
    res:gone():wait(10)
    res:send(200, "ok")
  end,
  ["/body"] = function(req, res)
    if req:read_all() then res:send(200, "ok") end
  end,
  ["/pieces"] = function(req, res)
    for piece in req:chunks() do res:write(piece) end
  end,
  ["/big"] = function(_, res)
    for _ = 1, 20 do
      if not res:write(PIECE) then return end
    end
  end,
  ["/socket"] = function(req)
    local ws = req:websocket{heartbeat = 1}
    while ws do
      local message, kind = ws:recv(2)
      if not message or not ws:send(message, kind) then return end
    end
  end,
}

--- What the server does.
function M.handler(req, res)
  local answer = PATHS[req.path]
  if answer then
    answer(req, res)
  else
    res:send(200, "ok")
  end
end

--- A GET for `path` with more fields, and a body.
function M.request(path, more, body)
  return ("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s"):format(path, more or "", body or "")
end

local request = M.request
local LONG = request("/body", "Content-Length: 30000\r\n", ("b"):rep(20000))
local CHUNKED = request("/pieces", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n6\r\nwor")
local EXPECT = request("/body", "Expect: 100-continue\r\nContent-Length: 5\r\n")
local UPGRADE = request("/socket", "Upgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
local FRAME = "\129\133\0\0\0\0hello" -- masked with zeros

-- What a client sends, and what of an answer it waits for before it goes: so many bytes, or this.
M.STAGES = {
  {""}, {request "/", 0}, {request "/", 1}, {request "/", 20}, {request "/", "ok"},
  {request "/" .. "GET / HT", "ok"}, {request "/slow", 0},
  {request "/gone", 0}, {request "/big", 0}, {request "/big", 1}, {request "/big", 20000},
  {LONG}, {CHUNKED}, {CHUNKED, 20}, {CHUNKED .. "ld!\r\n0\r\nX-Tr"}, {EXPECT}, {EXPECT, 20},
  {request "/" .. request "/slow" .. request "/big", 0},
  {request "/" .. request "/slow" .. request "/big", 40},
  {"no request at all\r\n\r\n", 0}, {"no request at all\r\n\r\n", 5},
  {request("/", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 0},
  {UPGRADE, 0}, {UPGRADE, 20}, {UPGRADE, "\r\n\r\n"}, {UPGRADE .. FRAME:sub(1, 9), "\r\n\r\n"},
  {UPGRADE .. FRAME, "hello"}, {UPGRADE .. "\137\128\0\0\0\0", "\138"},
  {UPGRADE .. FRAME .. "\136\128\0\0\0\0", "hello"},
}
local WAYS = {"close", "abort", "shutdown"}

local function wait_for(conn, wants)
  if type(wants) == "string" then
    conn:read_until(wants, 1000, 1)
  elseif wants and wants > 0 then
    conn:read_exactly(wants, 1)
  end
end

local function leave(conn, random)
  local way = WAYS[random(#WAYS)]
  conn[way](conn)
  if way == "shutdown" then
    if random(2) == 1 then conn:read_all(1048576, 0.1) end
    conn:close()
  end
end

--- One client: it vanishes while it connects, at a stage, or in the middle of what it sends.
function M.vanish(addr, random)
  local conn = net.connect(addr, {timeout = random(20) == 1 and 0 or nil})
  if not conn then return end
  local stage = M.STAGES[random(#M.STAGES)]
  local text, wants = stage[1], stage[2]
  if random(2) == 1 and #text > 0 then
    text, wants = text:sub(1, random(#text)), nil
  end
  conn:write(text)
  if random(3) == 1 then conn:flush(1) end
  wait_for(conn, wants)
  if random(4) == 1 then rl.sleep(random(20) / 1000) end
  leave(conn, random)
end

--- `n` clients, 50 at a time, until all have gone.
function M.vanish_all(addr, n, random)
  local left, tasks = n, {}
  for i = 1, 50 do
    tasks[i] = rl.go(function()
      while left > 0 do
        left = left - 1
        M.vanish(addr, random)
      end
    end)
  end
  for i = 1, 50 do assert(tasks[i]:join()) end
end

return M
