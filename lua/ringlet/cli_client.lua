-- SPDX-License-Identifier: MIT
-- cli_client: talking to the admin endpoint of a process: our HTTP client over its Unix socket, or
-- over TCP. What goes wrong comes back as a sentence.

local http = require "ringlet.http"
local json = require "ringlet.json_read"
local processes = require "ringlet.cli_processes"
local rl = require "ringlet"

local M = {}

local Client = {}
Client.__index = Client

-- Options of all commands that talk to a process.
M.OPTIONS = {
  {name = "token", kind = "string", value = "TOKEN",
    help = "what the endpoint wants (or $RINGLET_ADMIN_TOKEN)"},
}

local ANSWER = 30 -- seconds that a process has for what it does not have to measure

-- A list of these options and those of a command.
function M.options(more)
  local list = {}
  for _, option in ipairs(more) do
    list[#list + 1] = option
  end
  for _, option in ipairs(M.OPTIONS) do
    list[#list + 1] = option
  end
  return list
end

function M.new(target, token)
  token = token or os.getenv "RINGLET_ADMIN_TOKEN"
  local opts = {
    unix = target.unix, timeout = ANSWER, connect_timeout = 5, max_body = 2 ^ 30,
    headers = token and {Authorization = "Bearer " .. token} or nil,
  }
  return setmetatable({
    target = target, base = target.url or "http://localhost", http = http.client(opts),
  }, Client)
end

local GONE = {
  ECONNREFUSED = "nobody listens at %s: the process is gone", ENOENT = "there is no socket %s",
  EACCES = "%s is another user's", ETIMEDOUT = "%s does not answer: is its first shard stuck?",
}

local function first_line(text)
  return text:match "^%s*([^\r\n]*)"
end

local function refused(target, res)
  local why = first_line(res.body or "")
  if res.status == 401 or res.status == 403 then
    return ("%s does not let you: %s (see --token)"):format(target.text, why)
  elseif res.status == 404 then
    return ("%s has no such page: is it an admin endpoint?"):format(target.text)
  end
  return ("%s: %s"):format(target.text, why ~= "" and why or "status " .. res.status)
end

-- The text of a page; nil and a message. `seconds`: how long the process measures.
function Client:get(path, query, seconds)
  local within = ANSWER + (seconds or 0)
  local res, msg, code = self.http:get(self.base .. path, {
    query = query, timeout = within, read_timeout = within,
  })
  if not res then
    local where = self.target.unix or self.target.text
    return nil, GONE[code] and GONE[code]:format(where) or ("%s: %s"):format(where, msg)
  elseif res.status ~= 200 then
    return nil, refused(self.target, res)
  end
  return res.body
end

-- The same of a page in JSON, as a value.
function Client:json(path, query, seconds)
  local text, msg = self:get(path, query, seconds)
  if not text then
    return nil, msg
  end
  local value
  value, msg = json.decode(text)
  if value == nil then
    return nil, ("%s: %s"):format(self.target.text, msg)
  end
  return value
end

function Client:close()
  self.http:close()
end

-- Options of the command's runs. That one of its tasks computes for long, as it reads a large
-- answer, is no matter of the user's.
M.RUN = {backend = "uring", signals = true, grace = 0, on_overrun = function() end}

-- Call fn(client) in a run, with a client of the process that is meant; what it gives. Signals
-- end it.
function M.with(args, fn)
  local target, msg = processes.find(args[1])
  if not target then
    return nil, msg
  end
  local status, why
  rl.run(function()
    local client = M.new(target, args.token)
    status, why = fn(client)
    client:close()
  end, M.RUN)
  if status == nil and why == nil then
    return nil, "interrupted!"
  end
  return status, why
end

-- Write what was asked for to a file, or to stdout; the status. nil and a message.
function M.save(text, path)
  if not path or path == "-" then
    io.write(text)
    return 0
  end
  local file, msg = io.open(path, "wb")
  if not file then
    return nil, msg
  end
  local ok
  ok, msg = file:write(text)
  local closed, why = file:close()
  if not ok or not closed then
    return nil, msg or why
  end
  io.stderr:write(("%s: %d bytes\n"):format(path, #text))
  return 0
end

-- Get a page of the process that is meant, and save it as `args` say, or what `filter` makes of it;
-- the status. nil and a message.
function M.show(args, path, query, seconds, filter)
  return M.with(args, function(client)
    local text, msg = client:get(path, query, seconds)
    if not text then
      return nil, msg
    end
    return M.save(filter and filter(text) or text, args.output)
  end)
end

return M
