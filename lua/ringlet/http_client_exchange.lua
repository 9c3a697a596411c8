-- SPDX-License-Identifier: MIT
-- http_client_exchange: one request and its response on one connection: what is sent, what is
-- waited for and how long, and what it means when it fails.
--
-- An `ask` is what a client wants: {method, head, body, length, expect, limits, max_body, timeout,
-- due, expires, write_timeout, first_byte_timeout, read_timeout}. `due` is the end of its time for
-- the core, `expires` the same in seconds.
--
-- Invariants: whatever fails, or raises, leaves the connection to the caller, who ends it: nobody
-- knows what is on the way there. So a cancellation is given as a code, and raised by whoever has
-- ended the connection. A response has a `feed` if its request has a body that is not sent with the
-- head; behind one that is not done the connection cannot be used again.

local body = require "ringlet.http_client_body"
local content = require "ringlet.http_content"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local task = require "ringlet.task"

local http_answer, http_piece, http_has_news = core.http_answer, core.http_piece, core.http_has_news
local now, send = core.now, body.send
local ETIMEDOUT, ECANCEL = core.ETIMEDOUT, core.ECANCEL

local M = {}

-- Seconds that a server has to ask for the body of a request with Expect (RFC 9110 10.1.1).
local CONTINUE = 1

-- ---- failures -----------------------------------------------------------------------------------

-- Has a time that has passed been that of the whole request?
local function is_over(ask)
  return ask.expires and now() >= ask.expires - 1e-6
end

-- What ended a wait for something: nil, a message, a code; nil, nil, core.ECANCEL.
local function failure(ask, code, why, phase)
  if code == ECANCEL then
    return nil, nil, ECANCEL
  elseif code == body.FAILED then
    return nil, ask.body_failure[1], ask.body_failure[2]
  elseif code == ETIMEDOUT and is_over(ask) then
    return nil, ("ETIMEDOUT: %s took more than %g s"):format(ask.method, ask.timeout), "ETIMEDOUT"
  elseif code == ETIMEDOUT then
    return nil, "ETIMEDOUT: " .. phase, "ETIMEDOUT"
  end
  local _, msg, name = fail(code)
  if name == "EMSGSIZE" then
    return content.too_large(ask.max_body)
  elseif why then
    msg = ("%s: bad response: %s"):format(name, why)
  elseif name == "EOF" then
    msg = "EOF: the server has closed the connection without a response"
  end
  return nil, msg, name
end

-- ---- receiving ----------------------------------------------------------------------------------

local SILENT = "no response within first_byte_timeout"
local STUCK = "the server sent nothing for read_timeout"
local UNREAD = "the server took nothing of the request for write_timeout"

-- Begin a response with what http_answer gave, or give back what else that was.
local function begin(res, status, reason, head, length, piece, is_last, keep, trailers)
  if not status then
    return status, reason, head, length
  end
  res.status, res.reason, res.head, res.length = status, reason, head, length or false
  res.piece, res.is_read, res.keep, res.trail = piece or false, is_last, keep, trailers
  return true
end

-- Wait for the head of the response. true; false: the server waits for the body; or nil, a code,
-- what is wrong, whether something had come.
local function receive(res, conn, ask, first, expects)
  local due, limits, max, method = ask.due, ask.limits, ask.max_body, ask.method
  local ok, code, why, came = begin(res,
    http_answer(conn, first, due, limits, max, method, expects))
  local woken = false
  while ok and res.status == true do
    woken = true
    ok, code, why, came = begin(res,
      http_answer(conn, ask.read_timeout, due, limits, max, method, expects))
  end
  return ok, code, why, came or woken and code == ETIMEDOUT
end

-- Wait until the server says that it wants the body, or for as long as it is given for that.
-- Results as of receive.
local function expect(res, conn, ask)
  local ok, code, why = receive(res, conn, ask, CONTINUE, true)
  if ok == nil and code == ETIMEDOUT and not is_over(ask) then
    return false
  end
  return ok, code, why
end

-- ---- an exchange --------------------------------------------------------------------------------

-- Let the server say first that it wants the body. true: it is to be sent; false: there is a
-- response instead; nil, code, why.
local function may_go_on(res, conn, ask)
  if not ask.expect then
    return true
  end
  local answered, code, why = expect(res, conn, ask)
  if answered == nil then
    return nil, code, why
  end
  return not answered
end

-- Send the request. true: now for the response; false: it is there; or nil, code, why.
local function send_all(res, conn, ask)
  local ok, code, why = send(conn, ask.head, ask, 0, false)
  if ok and ask.body and not ask.joined then
    res.feed = body.feed(ask)
    ok, code, why = may_go_on(res, conn, ask)
    if not ok then
      return ok, code, why
    end
    ask.consumed = type(ask.body) == "function"
    ok, code = body.pump(res.feed, conn, true)
  end
  if ok == nil and (code == ECANCEL or code == body.FAILED or not http_has_news(conn)) then
    return nil, code, why
  end
  return true
end

-- By a task of its own: the rest of a body whose response has begun. When it fails otherwise than
-- by the connection, whoever reads the response is told.
local function feed_on(feed, conn)
  local ok, done, code = pcall(body.pump, feed, conn, false)
  if not ok then
    feed.raised = {done}
  end
  if not ok or done == nil and code == body.FAILED then
    core.http_drop(conn)
  end
end

-- The server has begun to answer before the body was sent. If it accepts the request, it may still
-- want the rest, and both go on side by side; else nothing more is sent (RFC 9112 9.3).
local function go_on(res, conn)
  local feed = res.feed
  if feed and not feed.is_done and res.status < 300 and not res.is_read then
    feed.task = task.daemon(feed_on, feed, conn)
  end
end

local LOST = {[core.EOF] = true, [core.ECONNRESET] = true, [core.EPIPE] = true}

-- One request on a connection. true: `res` has the head of the response; or nil, a message, a code,
-- and whether the server had closed the connection before anything came.
function M.run(res, conn, ask)
  local ok, code, why = send_all(res, conn, ask)
  local phase, came = UNREAD, false
  if ok then
    phase = SILENT
    ok, code, why, came = receive(res, conn, ask, ask.first_byte_timeout)
  end
  if ok ~= nil then
    if ok and res.feed then
      go_on(res, conn)
    end
    return true
  end
  local is_lost = not came and not why and LOST[code] or false
  local _, msg, name = failure(ask, code, why, came and STUCK or phase)
  return nil, msg, name, is_lost
end

-- Instead of a code: what the body's function raised is in the first element of the message.
M.RAISED = "raised"

-- The next piece of a response's body: a piece, or false at its end; or nil, a message, a code.
function M.piece(res, conn, ask, t)
  local timeout = t or ask.read_timeout
  local piece, is_last, keep, trailers = http_piece(conn, timeout, ask.due)
  while piece == true do
    piece, is_last, keep, trailers = http_piece(conn, timeout, ask.due)
  end
  if piece == nil then
    local feed = res.feed
    if feed and feed.raised and is_last ~= ECANCEL then
      return nil, feed.raised, M.RAISED
    end
    return failure(ask, ask.body_failure and body.FAILED or is_last, keep, STUCK)
  elseif is_last then
    res.is_read, res.keep, res.trail = true, keep, trailers
  end
  return piece
end

return M
