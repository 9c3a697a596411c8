-- SPDX-License-Identifier: MIT
-- Streaming both ways at once: an upload that is answered while it comes.
--
--     luajit examples/stream_both.lua serve 127.0.0.1:8080             # port 0: any free one
--     luajit examples/stream_both.lua send http://127.0.0.1:8080/ FILE # without FILE: 64 MiB
--     curl -T FILE -N http://127.0.0.1:8080/                           # curl shows it as well
--
-- The server tells how much it has for each part that came. Neither end ever has more of it than
-- some buffers: a file of any size goes through, and whoever is slow makes the other one wait.
local rl = require "ringlet"
local http = require "ringlet.http"

local MIB = 1048576

-- ---- the server ---------------------------------------------------------------------------------

local function receive(req, res)
  if req.method ~= "POST" and req.method ~= "PUT" then
    return res:header("Allow", "POST, PUT"):send(405, "send me something\n")
  end
  local total = tonumber(req:header "content-length")
  local step = total and math.max(MIB, math.ceil(total / 20)) or 8 * MIB
  local size, told, from = 0, 0, rl.now()
  res:header("Content-Type", "text/plain")
  for piece in req:chunks() do -- raises when the upload breaks off: then the answer does, too
    if size == 0 then
      res:begin(200) -- not before: who asks whether to send it would take that for a no
    end
    size = size + #piece
    if size - told >= step then
      told = size
      local part = total and ("%3.0f %%  "):format(size / total * 100) or ""
      if not res:write(("%s%d bytes\n"):format(part, size)) then
        return -- the client has gone
      end
    end
  end
  res:write(("done: %d bytes in %.2f s\n"):format(size, rl.now() - from))
end

local function serve(addr)
  local server = assert(http.serve(addr or "127.0.0.1:8080", receive))
  print("listening on " .. server:addr())
  io.stdout:flush()
  server:join()
end

-- ---- the client ---------------------------------------------------------------------------------

-- A function that gives the pieces of a file, and how many bytes that will be. Reading it blocks
-- this shard a little; a server with other things to do would have `rl.offload` read it.
local function pieces_of(path)
  local file = assert(io.open(path, "rb"))
  local size = file:seek "end"
  file:seek "set"
  return function()
    return file:read(65536) or file:close() and nil
  end, size
end

-- The same of nothing in particular, and nobody knows how much: it goes in chunks.
local function pieces_of_nothing(size)
  local piece, left = ("x"):rep(65536), size
  return function()
    left = left - #piece
    return left >= 0 and piece or nil
  end
end

local function send(url, path)
  local body, length
  if path then
    body, length = pieces_of(path)
  else
    body = pieces_of_nothing(64 * MIB)
  end
  -- Given as soon as the head of the answer is here: the upload goes on beside it.
  local res = rl.check(http.stream("POST", url, {body = body, length = length}))
  for piece in res:chunks() do
    io.write(piece)
    io.flush()
  end
end

rl.run(function()
  if arg[1] == "serve" then
    serve(arg[2])
  elseif arg[1] == "send" and arg[2] then
    send(arg[2], arg[3])
  else
    error("usage: stream_both.lua serve ADDRESS | send URL [FILE]", 0)
  end
end, {signals = true, grace = 3})
