-- SPDX-License-Identifier: MIT
-- A small reverse proxy: `luajit examples/reverse_proxy.lua 127.0.0.1:8080 127.0.0.1:9000 2` (where
-- to listen, port 0: any free one; the backend; then how many shards serve: 1 unless told).
--
-- Bodies go through piece by piece, both ways: whoever is slow makes the other end wait, and none
-- is ever here as a whole. A backend that cannot be asked is 502, one that is silent 504; one that
-- fails in the middle of its answer has the client's connection cut off. A client that goes takes
-- its request with it. Upgrades and trailers do not get through.
local rl = require "ringlet"
local http = require "ringlet.http"

local backend = assert(arg[2], "usage: reverse_proxy.lua LISTEN BACKEND [SHARDS]")

-- Those of one connection, no matter of the next (RFC 9110 section 7.6.1). The body's framing is
-- done anew on each side, Expect was answered when the body is read.
local HOP = {
  connection = true, ["keep-alive"] = true, ["proxy-connection"] = true, te = true, trailer = true,
  ["transfer-encoding"] = true, upgrade = true, ["proxy-authenticate"] = true,
  ["proxy-authorization"] = true, ["content-length"] = true, expect = true,
}

-- Take out of `fields` (name in lower case -> value) what is not to be passed on.
local function end_to_end(fields)
  for name in (fields.connection or ""):gmatch "[^%s,]+" do
    fields[name:lower()] = nil
  end
  for name in pairs(HOP) do
    fields[name] = nil
  end
  fields.via = (fields.via and fields.via .. ", " or "") .. "1.1 ringlet"
  return fields
end

local function append(value, more)
  return value and value .. ", " .. more or more
end

local function request_fields(req)
  local fields = end_to_end(req:headers())
  fields["x-forwarded-for"] = append(fields["x-forwarded-for"],
    (req:peername() or "unknown"):gsub(":%d+$", ""))
  fields["x-forwarded-host"], fields.host = fields.host, nil
  for _, name in ipairs{"user-agent", "accept-encoding"} do
    fields[name] = fields[name] or false -- false: the client adds none of its own
  end
  return fields
end

-- Ask the backend; its answer is here as soon as its head is.
local function ask(req)
  local length, body = tonumber(req:header "content-length"), nil
  if length or req:header "transfer-encoding" then
    local next_piece, state = req:chunks()
    body = function() return next_piece(state) end
  end
  return http.stream(req.method, ("http://%s%s%s"):format(backend, req.path,
    req.query and "?" .. req.query or ""), {
    headers = request_fields(req), body = body, length = body and length, redirects = false,
    first_byte_timeout = 30, timeout = math.huge,
  })
end

local function pass_on(answer, res)
  local length = tonumber(answer:header "content-length")
  for name in pairs(end_to_end(answer:headers())) do
    for _, value in ipairs(name == "via" and {} or answer:values(name)) do
      res:add_header(name, value)
    end
  end
  res:add_header("via", append(answer:header "via", "1.1 ringlet"))
  local ok = res:begin(answer.status, length)
  for piece in answer:chunks() do
    ok = ok and res:write(piece)
    if not ok then return end -- the client has gone
  end
end

local function proxy(req, res)
  if req.method == "CONNECT" or req.path:sub(1, 1) ~= "/" then
    return res:send(400, "not here\n")
  end
  local answer, _, code = ask(req)
  if not answer then
    return res:send(code == "ETIMEDOUT" and 504 or 502, code .. "\n")
  elseif answer.status > 599 then
    answer:close()
    return res:send(502)
  end
  rl.finally(function() pass_on(answer, res) end, function() answer:close() end)
end

rl.run(function()
  local server = assert(http.serve(arg[1], proxy, {shards = "all", cancel_on_close = true}))
  print("listening on " .. server:addr())
  io.stdout:flush()
end, {signals = true, shards = tonumber(arg[3]) or arg[3] or 1})
