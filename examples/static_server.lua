-- SPDX-License-Identifier: MIT
-- Serve a directory: `luajit examples/static_server.lua public 127.0.0.1:8080 auto` (the directory,
-- "." unless told; where to listen, port 0: any free one; then how many shards serve: 1 unless
-- told). Ranges, conditional requests and files made by gzip beforehand are http.static's matter.
--
-- What has no index.html is listed. Names that begin with a dot are neither served nor listed.
local rl = require "ringlet"
local http = require "ringlet.http"
local url = require "ringlet.http_url"

local dir = arg[1] or "."

local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;"}

local function escape(text)
  return (text:gsub('[&<>"]', ENTITIES))
end

-- What is in the directory "/path/" below `root`, sorted; nothing if that is none, or a symbolic
-- link leads out. It waits for the disk and for a process, so it runs on a helper thread, in a Lua
-- state of its own.
local function list(root, path)
  local function quote(text)
    return "'" .. text:gsub("'", "'\\''") .. "'"
  end
  local pipe = io.popen(([[
    { cd -P -- %s && root=${PWD%%/} && cd -P -- ./%s; } 2>/dev/null || exit
    case "${PWD%%/}/" in "$root"/*) ls -1p ;; esac]]):format(quote(root), quote(path:sub(2))))
  local names = {}
  for name in pipe:lines() do
    names[#names + 1] = name
  end
  pipe:close()
  return names
end

local function page(path, names)
  local title = escape(path)
  local lines = {('<!doctype html>\n<meta charset="utf-8">\n<title>%s</title>\n<h1>%s</h1>\n<ul>')
    :format(title, title)}
  for _, name in ipairs(names) do
    local link = url.encode(name):gsub("%%2F$", "/")
    lines[#lines + 1] = ('<li><a href="./%s">%s</a></li>'):format(link, escape(name))
  end
  lines[#lines + 1] = "</ul>\n"
  return table.concat(lines, "\n")
end

-- http.static has found nothing here. It has sent those who left out the slash at the end of a
-- directory there, so a path with one is a directory without an index - unless it is no plain path,
-- which is listed as little as it is served.
local function not_found(req, res)
  local path = url.decode(req.path)
  if path:find "^/[^%z]*$" and path:sub(-1) == "/" and not path:find "/[./]" then
    local names = rl.offload(list, dir, path)
    if names and #names > 0 then
      return res:header("Content-Type", "text/html; charset=utf-8"):send(200, page(path, names))
    end
  end
  res:header("Content-Type", "text/plain"):send(404, "nothing here\n")
end

rl.run(function()
  local server = assert(http.serve(arg[2] or "127.0.0.1:8080",
    http.static(dir, {gzip = true, not_found = not_found}), {shards = "all"}))
  print(("serving %s on http://%s/"):format(dir, server:addr()))
  io.stdout:flush()
end, {signals = true, grace = 3, shards = tonumber(arg[3]) or arg[3] or 1})
