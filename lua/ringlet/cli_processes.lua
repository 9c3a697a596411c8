-- SPDX-License-Identifier: MIT
-- cli_processes: which processes can be talked to, and which of them a TARGET means.
--
-- A target is {unix= the path of a socket} or {url= "http://host:port"}, with `pid` if that is
-- known and `text`, what it is called. A process with RINGLET_ADMIN=1 has its socket where
-- ringlet.admin puts it, named after its number; one that died may have left it there: it is stale.

local M = {}

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

-- The user's number.
local function uid()
  return (read "/proc/self/status" or ""):match "Uid:%s*%d+%s+(%d+)" or "0"
end

-- Where the sockets of this user's processes are.
function M.directory()
  local runtime = os.getenv "XDG_RUNTIME_DIR"
  if runtime and runtime ~= "" then
    return runtime .. "/ringlet"
  end
  return "/tmp/ringlet-" .. uid()
end

-- One that has ended and only was not waited for is dead.
local function is_alive(pid)
  local state = (read("/proc/" .. pid .. "/stat") or ""):match "%) (%a)[^)]*$"
  return state ~= nil and state ~= "Z" and state ~= "X"
end

-- The command line of a process, or nil.
function M.command(pid)
  local text = read("/proc/" .. pid .. "/cmdline")
  return text and (text:gsub("%z$", ""):gsub("%z", " "))
end

local TICKS = 100 -- of a second, in which Linux tells times

-- For how many seconds a process has lived, or nil.
function M.uptime(pid)
  local stat = read("/proc/" .. pid .. "/stat")
  local now = (read "/proc/uptime" or ""):match "[%d.]+"
  local i, begun = 2, nil
  for field in ((stat or ""):match "%)(.*)$" or ""):gmatch "%S+" do
    i = i + 1
    begun = i == 22 and tonumber(field) or begun
  end
  return begun and now and math.max(0, now - begun / TICKS)
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The sockets there are: a list of targets with `stale` = true for those whose process is gone, by
-- the processes' numbers.
function M.list(dir)
  dir = dir or M.directory()
  local list, pipe = {}, io.popen("ls " .. quoted(dir) .. " 2>/dev/null")
  for name in pipe:lines() do
    local pid = name:match "^(%d+)%.sock$"
    if pid then
      list[#list + 1] = {
        unix = dir .. "/" .. name, pid = tonumber(pid), text = pid, stale = not is_alive(pid),
      }
    end
  end
  pipe:close()
  table.sort(list, function(a, b)
    return a.pid < b.pid
  end)
  return list
end

local function only_one(dir)
  local alive = {}
  for _, target in ipairs(M.list(dir)) do
    if not target.stale then
      alive[#alive + 1] = target
    end
  end
  if #alive == 1 then
    return alive[1]
  elseif #alive == 0 then
    return nil, "there is no process to talk to: start one with RINGLET_ADMIN=1, or give the path "
      .. "or address of an admin endpoint"
  end
  local pids = {}
  for i, target in ipairs(alive) do
    pids[i] = target.text
  end
  return nil, "which process? There are " .. table.concat(pids, ", ") .. ": see `ringlet ps`"
end

local function of_pid(text, dir)
  local path = (dir or M.directory()) .. "/" .. text .. ".sock"
  if not is_alive(text) then
    return nil, "there is no process " .. text
  end
  for _, target in ipairs(M.list(dir)) do
    if target.text == text then
      return target
    end
  end
  return nil, ("process %s has no socket %s: was it started with RINGLET_ADMIN=1?"):format(text,
    path)
end

-- What a TARGET means; nil and a message. Without one: the only process there is.
function M.find(text, dir)
  if not text then
    return only_one(dir)
  elseif text:find "^%d+$" then
    return of_pid(text, dir)
  end
  local path = text:match "^unix:(.+)$" or text:find "^[^:]*/" and text or nil
  if path then
    return {unix = path, text = path, pid = tonumber(path:match "/(%d+)%.sock$")}
  end
  local addr = text:match "^http://([^/]+)/?$" or text:match "^[^/]*:%d+$"
  if addr then
    addr = addr:find "^:" and "127.0.0.1" .. addr or addr
    return {url = "http://" .. addr, text = addr}
  end
  return nil, ("'%s' is no process id, path of a socket or host:port"):format(text)
end

return M
