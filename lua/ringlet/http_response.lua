-- SPDX-License-Identifier: MIT
-- http_response: the answer to a request. Its header fields are kept here until its head is sent;
-- then the core has it. How its body ends - by a length, in chunks - is the core's matter as well,
-- as are Date and Connection, and the bytes of files (http_file.lua).

--- @module ringlet.http

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local http_file = require "ringlet.http_file"
local options = require "ringlet.options"
local sync = require "ringlet.sync"
local task = require "ringlet.task"

local http_send, http_begin = core.http_send, core.http_begin
local http_write, http_finish = core.http_write, core.http_finish

local M = {}

local HAS_DATE, CLOSE, TURN = 1, 2, 4

local ALREADY = "EALREADY: the response was sent"
local TOO_LONG = "EMSGSIZE: more than Content-Length says"
local TOO_SHORT = "EMSGSIZE: less than Content-Length says"

--- The answer to a request, given to the handler of `http.serve`.
-- @type response
-- @tfield integer|boolean status what was sent, false before that
local Response = {__name = "ringlet.response", fields = false, flags = 0, length = false}
Response.__index = Response

-- For the request with this number in the core.
function M.new(x)
  return setmetatable({x = x, status = false}, Response)
end

-- ---- the head -----------------------------------------------------------------------------------

local function check_status(status, level)
  if type(status) ~= "number" or status % 1 ~= 0 or status < 200 or status > 599 then
    error("a status from 200 to 599 expected, got " .. tostring(status), level + 1)
  end
end

local function check_length(length, level)
  if length ~= nil and (type(length) ~= "number" or length % 1 ~= 0 or length < 0
    or length > 2 ^ 53) then
    error("a number of bytes expected, got " .. tostring(length), level + 1)
  end
end

local function check_body(body, level)
  if body ~= nil and type(body) ~= "string" then
    error("string expected, got " .. type(body), level + 1)
  end
end

local function check_field(name, value, level)
  if type(name) ~= "string" or not name:find "^[%w!#$%%&'*+%-.^_`|~]+$" then
    error(("no name of a header field: %q"):format(tostring(name)), level + 1)
  elseif type(value) ~= "string" and type(value) ~= "number" then
    error(("the value of %s is a %s, not a string"):format(name, type(value)), level + 1)
  end
  value = tostring(value)
  if value:find "[%z\1-\8\10-\31\127]" then
    error(("the value of %s holds a control character"):format(name), level + 1)
  end
  return (value:gsub("^[ \t]+", ""):gsub("[ \t]+$", ""))
end

-- Fields that say how the message ends are not sent as they are.
local special = {}

special["content-length"] = function(res, value, level)
  local n = value:find "^%d+$" and tonumber(value)
  if not n or n > 2 ^ 53 then
    error("Content-Length: a number of bytes expected, got " .. value, level + 1)
  end
  res.length = n
  return true
end

special["transfer-encoding"] = function(_, _, level)
  error("Transfer-Encoding is not to be set: a response without a length goes in chunks", level + 1)
end

special["connection"] = function(res, value)
  if value:lower() == "close" then
    res.fields = res.fields or {}
    res.flags = res.flags - res.flags % (2 * CLOSE) + res.flags % CLOSE + CLOSE
    return true
  end
end

special["date"] = function(res)
  res.flags = res.flags - res.flags % 2 + HAS_DATE
end

-- Take the fields of that name out of the list.
local function remove(fields, lower)
  local n = 0
  for i = 1, #fields, 3 do
    local name, as, value = fields[i], fields[i + 1], fields[i + 2]
    fields[i], fields[i + 1], fields[i + 2] = nil, nil, nil
    if name ~= lower then
      fields[n + 1], fields[n + 2], fields[n + 3] = name, as, value
      n = n + 3
    end
  end
end

local function put(res, lower, name, value, replace)
  local fields = res.fields
  if not fields then
    fields = {}
    res.fields = fields
  end
  if replace then
    remove(fields, lower)
  end
  local n = #fields
  fields[n + 1], fields[n + 2], fields[n + 3] = lower, name, value
end

-- For modules that know what they set: `lower` is the name in lower case.
M.put = put

local function set(res, name, value, replace, level)
  if res.status then
    error("the head of the response was sent already", level + 1)
  end
  value = check_field(name, value, level + 1)
  local lower = name:lower()
  if not (special[lower] and special[lower](res, value, level + 1)) then
    put(res, lower, name, value, replace)
  end
end

--- Set a header field, in place of what it was set to before.
-- @tparam string name
-- @tparam string|number value
-- @treturn response itself
-- @raise on a value with CR, LF or another control character; once the head was sent
-- @source RFC 9110 section 5
function Response:header(name, value)
  set(self, name, value, true, 2)
  return self
end

--- Add a header field; several with one name may be sent, as of Set-Cookie.
-- @tparam string name
-- @tparam string|number value
-- @treturn response itself
-- @raise as `header`
function Response:add_header(name, value)
  set(self, name, value, false, 2)
  return self
end

local function lines_of(fields)
  if not fields then
    return ""
  end
  local parts, n = {}, 0
  for i = 2, #fields, 3 do
    parts[n + 1], parts[n + 2], parts[n + 3], parts[n + 4] = fields[i], ": ", fields[i + 1], "\r\n"
    n = n + 4
  end
  return table.concat(parts)
end

-- ---- answers for handlers that gave none --------------------------------------------------------

-- What is said about a body that is not sent, or was meant for a success.
local OF_CONTENT = {
  etag = true, ["last-modified"] = true, ["accept-ranges"] = true, ["cache-control"] = true,
  expires = true, age = true, location = true, ["set-cookie"] = true, date = true,
}

-- Leave of the fields what an answer without that content may have: who asked for what, and so on.
function M.drop_content(res)
  local fields, n = res.fields or {}, 0
  for i = 1, #fields, 3 do
    local name, as, value = fields[i], fields[i + 1], fields[i + 2]
    fields[i], fields[i + 1], fields[i + 2] = nil, nil, nil
    if not OF_CONTENT[name] and not name:find "^content%-" then
      fields[n + 1], fields[n + 2], fields[n + 3] = name, as, value
      n = n + 3
    end
  end
  res.length, res.flags = false, res.flags - res.flags % 2
end

-- Answer for a handler that has ended without an answer, with 500 or what fits. Does not park.
function M.answer_for(res)
  M.drop_content(res)
  local flags = res.flags
  local close = flags % (2 * CLOSE) >= CLOSE
  res.status = core.http_unanswered(res.x, lines_of(res.fields), close) or res.status
end

-- ---- sending ------------------------------------------------------------------------------------

local EALREADY, EINVAL, EMSGSIZE = core.EALREADY, core.EINVAL, core.EMSGSIZE

local function failed(code, too)
  if code == EALREADY then
    return nil, ALREADY, "EALREADY"
  elseif code == EMSGSIZE then
    return nil, too or TOO_LONG, "EMSGSIZE"
  end
  return fail(code)
end

--- Send the whole response.
-- @parks while 64 KiB (`write_high_water`) are queued for the client
-- @tparam integer status 200 to 599
-- @tparam[opt=""] string body
-- @treturn true
-- @fails "EALREADY" when it was sent, or begun; "ECLOSED", "ECONNRESET", "EPIPE", "ETIMEDOUT" when
-- the client has gone
-- @source RFC 9112 section 6
function Response:send(status, body)
  local fields, ok, code = self.fields
  if fields then
    ok, code = http_send(self.x, status, body, lines_of(fields), self.flags)
  else
    ok, code = http_send(self.x, status, body)
  end
  if ok == true then
    ok, code = http_send(self.x, status, body, lines_of(fields), self.flags + TURN)
  end
  if ok then
    self.status = status
    return true
  elseif code == EINVAL then
    check_status(status, 2)
    check_body(body, 2)
  end
  return failed(code)
end

--- Send the head alone: what follows is the body, by `write`.
-- @parks while 64 KiB are queued for the client
-- @tparam[opt=200] integer status 200 to 599
-- @tparam[opt] integer length of the body; without it the body goes in chunks
-- @treturn true
-- @fails as `send`
function Response:begin(status, length)
  status = status or 200
  check_status(status, 2)
  check_length(length, 2)
  length = length or self.length or nil
  local lines = lines_of(self.fields)
  local ok, code = http_begin(self.x, status, lines, self.flags, length)
  if ok == true then
    ok, code = http_begin(self.x, status, lines, self.flags + TURN, length)
  end
  if ok then
    self.status = status
    return true
  end
  return failed(code)
end

--- Send a piece of the body; the first one sends the head before it, with status 200, unless
-- `begin` did.
-- @parks while 64 KiB are queued for the client
-- @tparam string data
-- @treturn true
-- @fails "EMSGSIZE" when it is more than the length that was announced; else as `send`
function Response:write(data)
  if type(data) ~= "string" then
    error("string expected, got " .. type(data), 2)
  end
  if not self.status then
    local ok, msg, code = self:begin()
    if not ok then
      return nil, msg, code
    end
  end
  local ok, code = http_write(self.x, data, 0)
  if ok == true then
    ok, code = http_write(self.x, data, TURN)
  end
  if ok then
    return true
  end
  return failed(code)
end

--- The body ends here. Without it, it does when the handler returns.
-- @parks while 64 KiB are queued for the client
-- @treturn true
-- @fails "EMSGSIZE" when it is less than the length that was announced; else as `send`
function Response:finish()
  if not self.status then
    return self:send(200)
  end
  local ok, code = http_finish(self.x, 0)
  if ok == true then
    ok, code = http_finish(self.x, TURN)
  end
  if ok then
    return true
  end
  return failed(code, TOO_SHORT)
end

-- ---- files --------------------------------------------------------------------------------------

-- Send the whole response with a range of an open file. For http_static.lua.
function M.send_range(res, file, status, offset, length)
  local ok, msg, code = res:begin(status, length)
  if ok and length > 0 then
    ok, msg, code = http_file.send(res.x, file, offset, length)
  end
  if not ok then
    return nil, msg, code
  end
  return res:finish()
end

local RANGE = {status = "number", offset = "number", length = "number"}
local BYTES = {min = 0, whole = true, max = 2 ^ 53}
local RANGES = {offset = BYTES, length = BYTES}

-- The end of a file that is not to be sent, or not any more.
local function closed(file, ...)
  http_file.close(file)
  return ...
end

local function open(what)
  if type(what) == "string" then
    return http_file.open(nil, what)
  elseif type(what) == "number" then
    return http_file.adopt(what)
  end
  error("a path or a descriptor expected, got " .. type(what), 3)
end

--- Send the whole response, with a file or a part of one as its body. Nothing of it passes through
-- Lua, and whether the disk or the client is slow, the shard does not wait for it. No header field
-- is set by it; `http.static` does more.
-- @parks until the kernel has taken all of it, or the client has gone
-- @tparam string|integer what the path of a file, or an open descriptor, which stays open
-- @tparam[opt] table opts
-- @tparam[opt=200] integer opts.status 200 to 599
-- @tparam[opt=0] integer opts.offset of the first byte
-- @tparam[opt] integer opts.length bytes; by default, up to the end of the file
-- @treturn true
-- @fails before anything was sent "ENOENT", "EACCES" and what else `open(2)` says, "EISDIR",
-- "EINVAL" when it is no file or has fewer bytes; later "ENODATA" when it has become shorter,
-- "ETIMEDOUT" when no bytes moved for the server's `write_timeout`; else as `send`. When it fails
-- half way, the connection is aborted as the handler returns.
-- @source sendfile(2)
-- @usage res:header("Content-Type", "application/pdf"):send_file "report.pdf"
function Response:send_file(what, opts)
  opts = options.check(opts, RANGE)
  options.bounds(opts, RANGES)
  local status, offset = opts.status or 200, opts.offset or 0
  check_status(status, 2)
  local file, kind, size = open(what)
  if not file then
    return nil, kind, size
  elseif kind == http_file.DIRECTORY then
    return closed(file, nil, "EISDIR: is a directory", "EISDIR")
  end
  local length = opts.length or size - offset
  if kind ~= http_file.REGULAR or length < 0 or offset + length > size then
    return closed(file, nil, "EINVAL: no file, or none with that many bytes", "EINVAL")
  end
  return closed(file, M.send_range(self, file, status, offset, length))
end

local function watch(x, event)
  local gone = core.http_gone(x)
  while gone == true do
    gone = core.http_gone(x)
  end
  if gone then
    event:set()
  end
end

--- Has the client closed its side of the connection? `rl.select` takes the event. A client that
-- has, and still waits for the answer, is rare: curl and browsers do not.
-- @treturn event set when it has; the same for every call
-- @raise while there is a body that was not read: what comes of it says as much
function Response:gone()
  local event = rawget(self, "client_gone")
  if not event then
    if core.http_body_left(self.x) then
      error("gone: the body of the request was not read", 2)
    end
    event = sync.event()
    self.client_gone = event
    task.daemon(watch, self.x, event)
  end
  return event
end

--- How far it has come.
-- @treturn string "none", "open" (its head was sent), "done", or "over"
function Response:state()
  return core.http_state(self.x) or "over"
end

function Response:__tostring()
  return ("ringlet.response: %s%s"):format(self.status and self.status .. ", " or "", self:state())
end

return M
