-- SPDX-License-Identifier: MIT
-- http_client_response: what a client gets for a request. The head was copied out of its connection
-- as one text, whose fields are taken apart when somebody asks for one.
--
-- Invariants: `link` is the connection while some of the body is to be read from it; whatever ends
-- that - the body's end, a failure, close, a cancellation, the garbage collector - gives it back or
-- ends it, once. What cannot be done where the collector runs is done by the run loop a moment
-- later.

--- @module ringlet.http

local content = require "ringlet.http_content"
local core = require "ringlet.core"
local exchange = require "ringlet.http_client_exchange"
local fail = require "ringlet.fail"
local hosts = require "ringlet.http_client_hosts"
local run_stop = require "ringlet.run_stop"
local time = require "ringlet.time"

local next_piece, ECANCEL = exchange.piece, core.ECANCEL

local M = {}

local READ_ALL_MAX = 16777216

--- What a server has answered, from `http.get`, `http.request` and `http.stream`.
-- @type client_response
-- @tfield integer status 200 to 599
-- @tfield string reason what stands behind the status, which may be nothing
-- @tfield ?string body all of it; of a response of `http.stream` nil
-- @tfield string url where it came from, redirects followed
local Response = {__name = "ringlet.client_response", link = false}
Response.__index = Response

function M.new(url, ask)
  return setmetatable({url = url, ask = ask}, Response)
end

-- ---- the connection -----------------------------------------------------------------------------

-- It is not used for this response any more.
local function let_go(res, may_be_kept)
  local link, guard, feed = res.link, res.guard, res.feed
  res.link = false
  if guard then
    guard.entry.link = false
    res.guard = nil
  end
  local is_sent = not feed or feed.is_done
  if not is_sent and feed.task then
    feed.task:cancel()
  end
  if may_be_kept and res.keep and is_sent and not res.ask.close then
    hosts.give_back(link)
  else
    hosts.discard(link)
  end
end

-- The response has its head, and the connection is this one.
function M.attach(res, link)
  res.link = link
  if res.is_read then
    let_go(res, true)
  end
end

-- ---- responses that nobody has any more ---------------------------------------------------------

-- Connections of responses that were collected, and whether the run loop was told.
local dropped, is_told = {}, false

local function discard_dropped()
  local list = dropped
  dropped, is_told = {}, false
  for _, link in ipairs(list) do
    hosts.discard(link)
  end
end

-- By the collector, amid whatever runs: so nothing is done here but to ask for it.
local function collected(entry)
  local link = entry.link
  if link and run_stop.active then
    dropped[#dropped + 1] = link
    if not is_told then
      is_told = true
      time.call_after(0, discard_dropped)
    end
  end
end

run_stop.endings[#run_stop.endings + 1] = function()
  dropped, is_told = {}, false
end

local new_guard

local newproxy = rawget(_G, "newproxy") -- not in Lua 5.4

if newproxy then
  local entries = setmetatable({}, {__mode = "k"})
  local proto = newproxy(true)
  getmetatable(proto).__gc = function(proxy)
    local entry = entries[proxy]
    if entry then
      collected(entry)
    end
  end
  function new_guard(entry)
    local proxy = newproxy(proto)
    entries[proxy] = entry
    return {proxy = proxy, entry = entry}
  end
else
  local Guard = {__gc = function(guard) collected(guard.entry) end}
  function new_guard(entry)
    return setmetatable({entry = entry}, Guard)
  end
end

-- The response is given to a user, who may lose it.
function M.guard(res)
  if res.link then
    res.guard = new_guard{link = res.link}
  end
end

-- ---- the head -----------------------------------------------------------------------------------

-- {name in lower case, value, ...}
local function fields_of(res)
  local fields = res.fields
  if not fields then
    fields = {}
    for name, value in res.head:gmatch "\n([^:\r]+):[ \t]*([^\r]*)\r" do
      fields[#fields + 1] = name:lower()
      fields[#fields + 1] = value:gsub("[ \t]+$", "")
    end
    res.fields = fields
  end
  return fields
end

--- The value of a header field; of several with this name, all of them, joined by ", ".
-- @tparam string name in any case
-- @treturn ?string nil if there is none
-- @source RFC 9110 section 5.3
function Response:header(name)
  local values = self:values(name)
  return values[1] and table.concat(values, ", ")
end

--- The values of all header fields of a name, one by one: those of Set-Cookie cannot be joined.
-- @tparam string name in any case
-- @treturn {string} a new list
function Response:values(name)
  local fields, values = fields_of(self), {}
  name = name:lower()
  for i = 1, #fields, 2 do
    if fields[i] == name then
      values[#values + 1] = fields[i + 1]
    end
  end
  return values
end

--- All header fields.
-- @treturn {[string]=string} a new table: name in lower case -> value, several joined by ", "
function Response:headers()
  return content.by_name(fields_of(self))
end

--- The fields behind a body in chunks, once it was read to its end.
-- @treturn {[string]=string} a new table: name in lower case -> value
function Response:trailers()
  return content.by_name(self.trail or {})
end

-- ---- the body -----------------------------------------------------------------------------------

local CLOSED = "ECLOSED: the response was closed"

-- A piece; false at the end; or failure values.
local function take(res, t)
  local piece = res.piece
  if piece then
    res.piece = false
    return piece
  elseif not res.link then
    if res.is_read then
      return false
    end
    return nil, CLOSED, "ECLOSED"
  end
  local msg, code
  piece, msg, code = next_piece(res, res.link.conn, res.ask, t)
  if piece == nil then
    if res.link then
      let_go(res)
    end
    if code == ECANCEL then
      fail(code)
    elseif code == exchange.RAISED then
      error(msg[1], 0)
    end
    return nil, msg, code
  elseif res.is_read then
    let_go(res, true)
  end
  return piece
end

--- The next piece of the body, of whatever size it came in.
-- @parks until there is one
-- @tparam[opt] number t seconds, by default `read_timeout`
-- @treturn string
-- @fails "EOF" at its end; "EPROTO" when it is malformed, or ends before it is complete;
-- "ETIMEDOUT", "ECONNRESET", "ECLOSED"
function Response:read(t)
  return content.read(take(self, t))
end

--- The pieces of the body, for a loop. It stops only at the end of the body: when that does not
-- come it raises. A loop that is left early leaves the rest to `close`.
-- @parks in each step, until there is a piece
-- @treturn fun():string
-- @raise in a step, what `read` fails with, as `rl.check` does
-- @usage for piece in res:chunks() do file:write(piece) end
function Response:chunks()
  return content.chunks(take, self)
end

-- The rest of the body, as one text.
function M.read_rest(res, max)
  local text, msg, code
  if res.length and res.length > max and not res.is_read then
    text, msg, code = content.too_large(max)
  else
    text, msg, code = content.rest(take, res, max)
  end
  if code == "EMSGSIZE" and res.link then
    let_go(res)
  end
  return text, msg, code
end

--- The whole body, or what `read` has left of it.
-- @parks until it is here
-- @tparam[opt=16777216] integer max bytes
-- @treturn string
-- @fails "EMSGSIZE" when it is longer; else as `read`
function Response:read_all(max)
  if self.body then
    return self.body
  end
  return M.read_rest(self, max or READ_ALL_MAX)
end

--- Read no more of the body. The connection is kept if the body was read to its end, which needs no
-- `close`; otherwise it ends. Idempotent; it works while cancelled.
-- @treturn true
function Response:close()
  self.piece = false
  if self.link then
    let_go(self)
  end
  return true
end

function Response:__tostring()
  return ("ringlet.client_response: %s %s%s"):format(
    self.status, self.url, self.link and ", unread" or "")
end

M.Response = Response

return M
