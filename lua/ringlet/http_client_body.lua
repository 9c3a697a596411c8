-- SPDX-License-Identifier: MIT
-- http_client_body: what a request sends behind its head: a text, or what a function gives, in
-- chunks or of a length that was announced.
--
-- A feed is a body on its way: {ask, data, at, sent, is_last, is_done}: `data` is what is being
-- sent, from byte `at` on, `sent` how much the function has given, `is_last` that nothing follows.
-- A server may answer before it has read everything: then whoever pumps is told, unless he does not
-- watch, and may go on later.

local core = require "ringlet.core"

local http_ask, http_has_news = core.http_ask, core.http_has_news

local M = {}

-- The code of a failure that is not the connection's: the ask has it as `body_failure`.
M.FAILED = 0

local TOO_MUCH = {"EMSGSIZE: the body's function gave more than 'length' says", "EMSGSIZE"}
local TOO_LITTLE = {"EMSGSIZE: the body's function gave less than 'length' says", "EMSGSIZE"}

-- Queue a text from byte `at` on. true; false and where to go on: the server has answered, or
-- closed; or nil and a code.
local function send(conn, data, ask, at, watches)
  local size = #data
  while true do
    local to, code = http_ask(conn, data, at, ask.write_timeout, ask.due, false)
    if to == true then
      to, code = http_ask(conn, data, at, ask.write_timeout, ask.due, true)
    end
    if not to then
      return nil, code
    elseif to >= size then
      return true
    end
    at = to
    if watches and http_has_news(conn) then
      return false, at
    end
  end
end
M.send = send

-- The body of an ask.
function M.feed(ask)
  local is_text = type(ask.body) == "string"
  return {
    ask = ask, data = is_text and ask.body, at = 0, sent = 0, is_last = is_text, is_done = false,
  }
end

local function fail_with(feed, failure)
  feed.ask.body_failure = failure
  return nil, M.FAILED
end

-- The function has given everything.
local function close(feed)
  feed.is_last = true
  if not feed.ask.length then
    feed.data = "0\r\n\r\n"
  elseif feed.sent < feed.ask.length then
    return fail_with(feed, TOO_LITTLE)
  end
  return true
end

-- Have the function give the next piece. true; or nil and a code.
local function pull(feed)
  local ask = feed.ask
  local piece, msg, code = ask.body()
  if piece == nil and msg ~= nil then
    return fail_with(feed, {msg, code})
  elseif piece == nil then
    return close(feed)
  elseif type(piece) ~= "string" then
    error(("the body's function gave a %s, not a string"):format(type(piece)), 0)
  end
  feed.sent = feed.sent + #piece
  if ask.length and feed.sent > ask.length then
    return fail_with(feed, TOO_MUCH)
  elseif piece ~= "" then
    feed.data = ask.length and piece or ("%x\r\n%s\r\n"):format(#piece, piece)
  end
  return true
end

-- Send what there is and will be. true: that was all; false: the server has answered, or closed;
-- or nil and a code.
function M.pump(feed, conn, watches)
  local ok, code = true, nil
  while ok do
    if feed.data then
      ok, code = send(conn, feed.data, feed.ask, feed.at, watches)
      feed.data, feed.at = not ok and feed.data, not ok and code or 0
    elseif feed.is_last then
      feed.is_done = true
      return true
    elseif watches and http_has_news(conn) then
      return false
    else
      ok, code = pull(feed)
    end
  end
  return ok, code
end

return M
