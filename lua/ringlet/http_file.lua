-- SPDX-License-Identifier: MIT
-- http_file: files as responses have them. A file is opened without waiting for a disk on this
-- shard, and its bytes go from the kernel's memory to the connection: no Lua string has them, and
-- no buffer of this process but for small files.

local core = require "ringlet.core"
local fail = require "ringlet.fail"

local file_open, file_wait, file_close = core.file_open, core.file_wait, core.file_close
local http_file, http_sent = core.http_file, core.http_sent

local M = {}

M.REGULAR, M.DIRECTORY = 0, 1

local TURN, ETIMEDOUT = 4, core.ETIMEDOUT
local SHORTER = "ENODATA: the file has become shorter"

local function await(file)
  local kind, size, mtime, tag, date = file_wait(file)
  while kind == true do
    kind, size, mtime, tag, date = file_wait(file)
  end
  return kind, size, mtime, tag, date
end

-- Open a path: below a directory, an open one, or with nil, anywhere; `lasting`: it is kept open,
-- which is no leak. Gives the file, its kind, its size, the seconds of its last change, a tag that
-- is another when it has changed, and the change as a date; or failure values.
function M.open(root, path, lasting)
  local file, kind, size, mtime, tag, date = file_open(root, path, lasting)
  if not file then
    return fail(kind)
  elseif not kind then
    kind, size, mtime, tag, date = await(file)
    if not kind then
      return fail(size)
    end
  end
  return file, kind, size, mtime, tag, date
end

-- The same of a descriptor, which stays open.
function M.adopt(fd)
  local file, kind, size, mtime, tag, date = core.file_adopt(fd)
  if not file then
    return fail(kind)
  end
  return file, kind, size, mtime, tag, date
end

M.close, M.is_closed = file_close, core.file_is_closed

local function await_sent(x, file, length)
  local ok, code = http_sent(x, file, length)
  while ok == true or ok == nil and code == ETIMEDOUT do
    ok, code = http_sent(x, file, length)
  end
  return ok, code
end

-- Send a range of a file as the next bytes of the body of the request with this number.
function M.send(x, file, offset, length)
  local ok, code = http_file(x, file, offset, length, 0)
  if ok == true then
    ok, code = http_file(x, file, offset, length, TURN)
  end
  if ok == false then
    ok, code = await_sent(x, file, length)
  end
  if ok then
    return true
  end
  local _, msg, name = fail(code)
  return nil, name == "ENODATA" and SHORTER or msg, name
end

return M
