-- SPDX-License-Identifier: MIT
-- http_content: what requests that a server gets, responses that a client gets and handshakes have
-- in common: fields by name, and a body that is read piece by piece.
--
-- A body is read by a function next_piece(message, t): a piece; false at the end of the body; or
-- nil, message, code.

local errors = require "ringlet.errors"

local M = {}

-- {name, value, ...} as a table by name in lower case; several values are joined by ", ".
-- (RFC 9110 section 5.3)
function M.by_name(list)
  local fields = {}
  for i = 1, #list, 2 do
    local name = list[i]:lower()
    fields[name] = fields[name] and fields[name] .. ", " .. list[i + 1] or list[i + 1]
  end
  return fields
end

-- What `read` gives for what next_piece gave.
function M.read(piece, msg, code)
  if piece == false then
    return nil, "EOF: end of the body", "EOF"
  end
  return piece, msg, code
end

-- The pieces for a loop, which raises when the body does not come to its end.
function M.chunks(next_piece, message)
  return function()
    local piece, msg, code = next_piece(message)
    if piece == nil then
      error(errors.new(msg, code), 0)
    end
    return piece or nil
  end
end

-- Failure values: more than `max` bytes.
function M.too_large(max)
  return nil, ("EMSGSIZE: the body has more than %.0f bytes"):format(max), "EMSGSIZE"
end

-- The rest of the body as one text, which has `max` bytes at most.
function M.rest(next_piece, message, max)
  local pieces, n, size = {}, 0, 0
  while true do
    local piece, msg, code = next_piece(message)
    if piece == nil then
      return nil, msg, code
    elseif not piece then
      return n == 1 and pieces[1] or table.concat(pieces)
    end
    n, size = n + 1, size + #piece
    pieces[n] = piece
    if size > max then
      return M.too_large(max)
    end
  end
end

return M
