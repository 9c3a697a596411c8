-- SPDX-License-Identifier: MIT
-- http_static: the files below a directory as an HTTP handler. Nothing outside of the directory can
-- be reached: paths that try are no paths here, and the kernel refuses symbolic links that lead out
-- of it (openat2 with RESOLVE_BENEATH). No disk is waited for on this shard, and the bytes go from
-- the kernel's memory to the connection.
--
-- The directory is kept open a second at a time, so that one that was put in its place is seen.

--- @module ringlet.http

local conditions = require "ringlet.http_conditions"
local core = require "ringlet.core"
local http_file = require "ringlet.http_file"
local options = require "ringlet.options"
local query = require "ringlet.http_query"
local response = require "ringlet.http_response"
local travel = require "ringlet.travel"

local M = {}

local is_conditional, put = core.http_is_conditional, response.put
local REGULAR, DIRECTORY = http_file.REGULAR, http_file.DIRECTORY
local ROOT_SECONDS = 1
local FRESH_SECONDS = 2

local TYPES = {
  avif = "image/avif", bmp = "image/bmp", css = "text/css; charset=utf-8",
  csv = "text/csv; charset=utf-8", gif = "image/gif", gz = "application/gzip",
  htm = "text/html; charset=utf-8", html = "text/html; charset=utf-8",
  ico = "image/x-icon", jpeg = "image/jpeg", jpg = "image/jpeg",
  js = "text/javascript; charset=utf-8", json = "application/json",
  map = "application/json", md = "text/markdown; charset=utf-8",
  mjs = "text/javascript; charset=utf-8", mp3 = "audio/mpeg", mp4 = "video/mp4",
  oga = "audio/ogg", ogg = "audio/ogg", ogv = "video/ogg", otf = "font/otf",
  pdf = "application/pdf", png = "image/png", svg = "image/svg+xml", tar = "application/x-tar",
  ttf = "font/ttf",
  txt = "text/plain; charset=utf-8", wasm = "application/wasm", wav = "audio/wav",
  webm = "video/webm", webmanifest = "application/manifest+json", webp = "image/webp",
  woff = "font/woff", woff2 = "font/woff2", xhtml = "application/xhtml+xml",
  xml = "application/xml", zip = "application/zip",
}
local ANY_TYPE = "application/octet-stream"

--- Files below a directory, from `http.static`: a handler.
-- @type http_static
local Static = {__name = "ringlet.http_static"}
Static.__index = Static

travel.register_type("ringlet.http_static", Static)

-- Open directories, with the time when they were opened, by the object that serves them.
local roots = setmetatable({}, {__mode = "k"})

local function close_root(self)
  local root = roots[self]
  if root then
    roots[self] = nil
    http_file.close(root.file)
  end
end

-- To be used at once: when this task has parked, another may have closed it.
local function root_of(self)
  local root, now = roots[self], core.now()
  if root and now - root.opened < ROOT_SECONDS and now >= root.opened
    and not http_file.is_closed(root.file) then
    return root.file
  end
  local file, kind = http_file.open(nil, self.dir, true)
  if file and kind ~= DIRECTORY then
    http_file.close(file)
    file, kind = nil, "not a directory"
  end
  if not file then
    error(("http.static: %s: %s"):format(self.dir, kind), 0)
  end
  close_root(self)
  roots[self] = {file = file, opened = now}
  return file
end

-- ---- paths --------------------------------------------------------------------------------------

local function is_plain(segment, dotfiles)
  if segment == "" or segment == "." or segment == ".." or segment:find "[/\\%z]" then
    return false
  end
  return dotfiles or segment:byte() ~= 46
end

-- Most paths are fine as they are.
local function is_easy(path)
  return not (path:find("[%%\\%z]") or path:find("//", 1, true) or path:find("/.", 1, true)
    or path:find "^[./]" or path:byte(-1) == 47)
end

-- What a path behind its first slash means below the directory, without a slash at its end ("." is
-- the directory); and whether it had one. nil: it can be the path of nothing here.
local function clean(path, dotfiles)
  local is_dir = path == "" or path:sub(-1) == "/"
  if path == "" then
    return ".", true
  elseif is_dir then
    path = path:sub(1, -2)
  end
  if is_easy(path) then
    return path, is_dir
  end
  local segments = {}
  for segment in (path .. "/"):gmatch "([^/]*)/" do
    segment = query.decode(segment)
    if not is_plain(segment, dotfiles) then
      return nil
    end
    segments[#segments + 1] = segment
  end
  return table.concat(segments, "/"), is_dir
end

-- ---- answers ------------------------------------------------------------------------------------

local STATUS = {
  ENOENT = 404, ENOTDIR = 404, ELOOP = 404, EXDEV = 404, ENAMETOOLONG = 404, EINVAL = 404,
  ENXIO = 404, EACCES = 403, EPERM = 403, EMFILE = 503, ENFILE = 503, ENOMEM = 503,
}

local function refuse(self, req, res, status)
  self.counts.refused = self.counts.refused + 1
  if status == 404 and self.opts.not_found then
    return self.opts.not_found(req, res)
  end
  return res:send(status)
end

local function refuse_code(self, req, res, msg, code)
  local status = STATUS[code]
  if not status then
    error("http.static: " .. msg, 0)
  end
  return refuse(self, req, res, status)
end

local function redirect(req, res)
  local query_text = req.query and "?" .. req.query or ""
  return res:header("Location", req.path .. "/" .. query_text):send(308)
end

-- A file is open while it is found, looked at and sent; whatever happens, it is closed.
local Found = {}
Found.__index = Found

local function open(self, path)
  local file, kind, size, mtime, tag, date = http_file.open(root_of(self), path)
  if not file then
    return nil, kind, size
  end
  return setmetatable({
    file = file, kind = kind, size = size, mtime = mtime, tag = tag, date = date,
  }, Found)
end

-- What does not change without the file's being another. A file that was changed just now may
-- change again in what its time of change calls the same moment, so its tag is weak (RFC 9110
-- section 8.8.1).
function Found:validate()
  local now = core.time()
  self.is_strong = now - self.mtime >= FRESH_SECONDS
  self.tag = (self.is_strong and '"' or 'W/"') .. self.tag .. '"'
  self.date = self.mtime <= now and self.date or nil
end

local function type_of(self, path)
  local extension = path:match "%.([^./]+)$"
  extension = extension and extension:lower()
  local types = self.opts.types
  return types and types[extension] or TYPES[extension] or self.opts.default_type or ANY_TYPE
end

-- The same file as `path`, compressed, if the client takes that and there is one.
local function compressed(self, req, path)
  if not self.opts.gzip or not conditions.accepts(req, "gzip") then
    return
  end
  local found = open(self, path .. ".gz")
  if found and found.kind ~= REGULAR then
    http_file.close(found.file)
    return
  end
  return found
end

local function describe(self, res, found, coding)
  put(res, "etag", "ETag", found.tag, true)
  if found.date then
    put(res, "last-modified", "Last-Modified", found.date, true)
  end
  if self.opts.cache_control then
    put(res, "cache-control", "Cache-Control", self.opts.cache_control, true)
  end
  if self.opts.gzip then
    put(res, "vary", "Vary", "Accept-Encoding")
  end
  if coding then
    put(res, "content-encoding", "Content-Encoding", coding, true)
  end
end

-- The status, and the first and last byte, of a request that asks for something special.
local function special(self, req, res, found)
  local status = conditions.status(req, found)
  if status then
    self.counts.unmodified = self.counts.unmodified + (status == 304 and 1 or 0)
    return status
  elseif req.method ~= "GET" or not conditions.allows_range(req, found) then
    return 200
  end
  local first, last = conditions.range(req, found.size)
  if first == false then
    res:header("Content-Range", ("bytes */%.0f"):format(found.size))
    return 416
  elseif first then
    res:header("Content-Range", ("bytes %.0f-%.0f/%.0f"):format(first, last, found.size))
    return 206, first, last
  end
  return 200
end

local function send(self, req, res, path, found, coding)
  local status, first, last = 200, 0, found.size - 1
  found:validate()
  describe(self, res, found, coding)
  if is_conditional(req.x) then
    local from, to
    status, from, to = special(self, req, res, found)
    first, last = from or first, to or last
  end
  if status == 304 or status == 412 then
    return res:send(status)
  end
  put(res, "accept-ranges", "Accept-Ranges", "bytes", true)
  if status == 416 then
    return res:send(status)
  end
  put(res, "content-type", "Content-Type", type_of(self, path), true)
  self.counts.sent = self.counts.sent + 1
  return response.send_range(res, found.file, status, first, last - first + 1)
end

-- Closed in any case, then the results or the error go on.
local function finish(file, ok, ...)
  http_file.close(file)
  if not ok then
    error((...), 0)
  end
  return ...
end

local function send_either(self, req, res, path, found)
  local packed = compressed(self, req, path)
  if packed then
    return finish(packed.file, pcall(send, self, req, res, path, packed, "gzip"))
  end
  return send(self, req, res, path, found)
end

local function serve_file(self, req, res, path, found)
  return finish(found.file, pcall(send_either, self, req, res, path, found))
end

local function serve_directory(self, req, res, path)
  local index = self.opts.index
  if index == false then
    return refuse(self, req, res, 404)
  end
  path = path == "." and index or path .. "/" .. index
  local found, msg, code = open(self, path)
  if not found then
    return refuse_code(self, req, res, msg, code)
  elseif found.kind ~= REGULAR then
    http_file.close(found.file)
    return refuse(self, req, res, 404)
  end
  return serve_file(self, req, res, path, found)
end

local function serve(self, req, res)
  local path, is_dir = clean(req.rest or req.path:gsub("^/", ""), self.opts.dotfiles)
  if not path then
    return refuse(self, req, res, 404)
  end
  local found, msg, code = open(self, path)
  if not found then
    return refuse_code(self, req, res, msg, code)
  elseif found.kind == REGULAR and not is_dir then
    return serve_file(self, req, res, path, found)
  end
  http_file.close(found.file)
  if found.kind ~= DIRECTORY then
    return refuse(self, req, res, 404)
  elseif not is_dir then
    return redirect(req, res)
  end
  return serve_directory(self, req, res, path)
end

function Static.__call(self, req, res)
  self.counts.requests = self.counts.requests + 1
  if req.method ~= "GET" and req.method ~= "HEAD" then
    res:header("Allow", "GET, HEAD")
    return refuse(self, req, res, 405)
  end
  return serve(self, req, res)
end

--- What it did so far on this shard.
-- @treturn http_static_stats a new table
-- @tfield[http_static_stats] integer requests all
-- @tfield[http_static_stats] integer sent answered with a file or a part of one
-- @tfield[http_static_stats] integer unmodified answered with 304
-- @tfield[http_static_stats] integer refused answered with 403, 404, 405 or 503
function Static:stats()
  local copy = {}
  for name, n in pairs(self.counts) do
    copy[name] = n
  end
  return copy
end

function Static:__tostring()
  return ("ringlet.http_static: %s, %d requests"):format(self.dir, self.counts.requests)
end

local KNOWN = {
  index = "string|boolean", dotfiles = "boolean", gzip = "boolean", cache_control = "string",
  types = "table", default_type = "string", not_found = "function",
}

-- What is sent as it is.
local function check_value(name, v)
  if type(v) == "string" and v:find "%c" or name:find "^types%." and type(v) ~= "string" then
    error(("option '%s' must be a string without control characters"):format(name), 3)
  end
end

--- A handler that serves the files below a directory. Mounted on a router it sees the path below
-- its prefix. It answers GET and HEAD, conditional requests and ranges; a request for several
-- ranges that do not join is answered with the whole file. A directory gets a slash at its end
-- (308), then its index.
--
-- No path leaves the directory: "..", encoded or not, encoded slashes, backslashes and NUL are 404,
-- and so are symbolic links that lead out of it, and those with an absolute path. Links inside are
-- followed.
-- @tparam string dir a path; it need not exist yet
-- @tparam[opt] table opts
-- @tparam[opt="index.html"] string|boolean opts.index the file of a directory; false: none
-- @tparam[opt=false] boolean opts.dotfiles serve also names that begin with a dot
-- @tparam[opt=false] boolean opts.gzip send `name.gz` beside `name`, if there is one and the client
-- takes it
-- @tparam[opt] string opts.cache_control the value of Cache-Control
-- @tparam[opt] table opts.types extension in lower case = media type, before the built-in ones
-- @tparam[opt="application/octet-stream"] string opts.default_type of other extensions
-- @tparam[opt] function opts.not_found answers instead of an empty 404
-- @treturn http_static
-- @raise in a request, when the directory cannot be opened
-- @source RFC 9110 sections 8.8, 13 and 14; openat2(2); sendfile(2)
-- @usage router:mount("/static", http.static("public", {cache_control = "max-age=3600"}))
function M.static(dir, opts)
  if type(dir) ~= "string" or dir == "" or dir:find "%z" then
    error("the path of a directory expected", 2)
  end
  opts = options.check(opts, KNOWN)
  if opts.index == true then
    error("option 'index' must be a string or false", 2)
  end
  local own = {}
  for name, v in pairs(opts) do
    own[name] = v
    check_value(name, v)
  end
  for extension, v in pairs(opts.types or {}) do
    check_value("types." .. tostring(extension), v)
  end
  own.index = opts.index == nil and "index.html" or opts.index
  return setmetatable({
    dir = dir, opts = own, counts = {requests = 0, sent = 0, unmodified = 0, refused = 0},
  }, Static)
end

return M
