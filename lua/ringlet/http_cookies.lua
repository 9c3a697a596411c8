-- SPDX-License-Identifier: MIT
-- http_cookies: a jar: what servers have set, and which of it a request takes along.
--
-- Invariants: a cookie is known by domain, path and name; a newer one replaces it and keeps its
-- place in the order of creation. There are never more than `per_domain` of a domain and `max` of
-- all: the least recently used goes. Time is the wall clock's, which is what Expires means.
--
-- There is no list of public suffixes here: what is refused is a domain without a dot, so
-- "co.uk" is taken for a site. Whoever visits hosts that do not trust each other below one such
-- suffix gives each a jar of its own.

--- @module ringlet.http

local core = require "ringlet.core"
local options = require "ringlet.options"
local url = require "ringlet.http_url"

local M = {}

local NAME_AND_VALUE_MAX = 4096
local NEVER = math.huge

--- A jar of cookies, from `http.cookies`. It is of one shard.
-- @type cookies
local Cookies = {__name = "ringlet.cookies"}
Cookies.__index = Cookies

-- ---- dates --------------------------------------------------------------------------------------

local MONTHS = {
  jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10,
  nov = 11, dec = 12,
}

-- Days from 1970-01-01, after "chrono-Compatible Low-Level Date Algorithms".
local function days_of(year, month, day)
  local y = month <= 2 and year - 1 or year
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (month + (month > 2 and -3 or 9)) + 2) / 5) + day - 1
  local doe = yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy
  return era * 146097 + doe - 719468
end

-- What a word of a date is, into `date`, if that was not found before (RFC 6265 5.1.1).
local function take_word(date, word)
  local h, m, s = word:match "^(%d%d?):(%d%d?):(%d%d?)%f[%D]"
  local month = MONTHS[word:sub(1, 3):lower()]
  local digits = word:match "^(%d+)%f[%D]"
  if not date.hour and h then
    date.hour, date.minute, date.second = tonumber(h), tonumber(m), tonumber(s)
  elseif not date.day and digits and #digits <= 2 then
    date.day = tonumber(digits)
  elseif not date.month and month then
    date.month = month
  elseif not date.year and digits and (#digits == 2 or #digits == 4) then
    date.year = tonumber(digits)
  end
end

local function is_valid(date)
  return date.day and date.month and date.year and date.hour and date.day >= 1 and date.day <= 31
    and date.year >= 1601 and date.hour <= 23 and date.minute <= 59 and date.second <= 59
end

-- "Sun, 06 Nov 1994 08:49:37 GMT", and what else servers send, as seconds since 1970; or nil.
local function parse_date(text)
  local date = {}
  for word in text:gmatch "[^\t\32-\47;-@%[-`{-~]+" do
    take_word(date, word)
  end
  if date.year and date.year <= 99 then
    date.year = date.year + (date.year >= 70 and 1900 or 2000)
  end
  if not is_valid(date) then
    return nil
  end
  return days_of(date.year, date.month, date.day) * 86400 + date.hour * 3600 + date.minute * 60
    + date.second
end

-- ---- matching -----------------------------------------------------------------------------------

local function is_address(host)
  return host:find ":" ~= nil or host:find "^%d+%.%d+%.%d+%.%d+$" ~= nil
end

-- Is the host the domain, or below it? (RFC 6265 5.1.3)
local function domain_matches(host, domain)
  return host == domain
    or not is_address(host) and host:sub(-#domain - 1) == "." .. domain
end

-- RFC 6265 5.1.4
local function path_matches(path, prefix)
  return path == prefix or path:sub(1, #prefix) == prefix
    and (prefix:sub(-1) == "/" or path:sub(#prefix + 1, #prefix + 1) == "/")
end

local function default_path(path)
  local dir = path:match "^(/.*)/[^/]*$"
  return dir or "/"
end

-- ---- setting ------------------------------------------------------------------------------------

local function trim(text)
  return text:match "^[ \t]*(.-)[ \t]*$"
end

local attributes = {}

attributes["expires"] = function(cookie, value)
  cookie.until_date = parse_date(value) or cookie.until_date
end

attributes["max-age"] = function(cookie, value, at)
  if value:find "^%-?%d+$" then
    local seconds = tonumber(value)
    cookie.until_age = seconds > 0 and at + seconds or -NEVER
  end
end

attributes["domain"] = function(cookie, value)
  cookie.domain = value:gsub("^%.", ""):lower()
end

attributes["path"] = function(cookie, value)
  cookie.path = value:find "^/" and value or nil
end

attributes["secure"] = function(cookie)
  cookie.secure = true
end

attributes["httponly"] = function(cookie)
  cookie.http_only = true
end

-- The text of a Set-Cookie, taken apart; nil when it is to be ignored.
local function parse(text, at)
  local first, rest = text:match "^([^;]*)(.*)$"
  local name, value = first:match "^([^=]*)=(.*)$"
  local cookie = {name = name and trim(name), value = value and trim(value)}
  if not name or cookie.name == "" or #cookie.name + #cookie.value > NAME_AND_VALUE_MAX
    or text:find "[%z\1-\8\10-\31\127]" then
    return nil
  end
  for item in rest:gmatch ";([^;]*)" do
    local key, v = item:match "^([^=]*)=?(.*)$"
    local set = attributes[trim(key):lower()]
    if set then
      set(cookie, trim(v), at)
    end
  end
  return cookie
end

-- Whose cookie it is; false: it is not the host's to set.
local function place(cookie, parts)
  local domain = cookie.domain
  if domain == nil or domain == "" then
    cookie.domain, cookie.host_only = parts.host, true
  elseif domain == parts.host then
    cookie.host_only = is_address(domain) or not domain:find(".", 1, true)
  elseif not domain:find(".", 1, true) or not domain_matches(parts.host, domain) then
    return false
  else
    cookie.host_only = false
  end
  cookie.path = cookie.path or default_path(parts.path)
  return true
end

-- What the prefixes of a name promise, and that no insecure page sets a secure cookie.
local function keeps_promises(cookie, parts, said_domain)
  local name = cookie.name:lower()
  if cookie.secure and parts.scheme ~= "https" then
    return false
  elseif name:find "^__secure%-" then
    return cookie.secure == true
  elseif name:find "^__host%-" then
    return cookie.secure == true and cookie.path == "/" and not said_domain
  end
  return true
end

local function key_of(cookie)
  return cookie.domain .. "\0" .. cookie.path .. "\0" .. cookie.name
end

local function remove(jar, key)
  local cookie = jar.by_key[key]
  if cookie then
    jar.by_key[key] = nil
    jar.count = jar.count - 1
    jar.of_domain[cookie.domain] = jar.of_domain[cookie.domain] - 1
    if jar.of_domain[cookie.domain] == 0 then
      jar.of_domain[cookie.domain] = nil
    end
  end
end

-- Remove what has expired, or else the least recently used, of a domain (nil: of all).
local function make_room(jar, domain, at)
  local oldest, oldest_key
  for key, cookie in pairs(jar.by_key) do
    if cookie.expires <= at then
      remove(jar, key)
    elseif (not domain or cookie.domain == domain)
      and (not oldest or cookie.used < oldest.used) then
      oldest, oldest_key = cookie, key
    end
  end
  local is_full = domain and (jar.of_domain[domain] or 0) >= jar.per_domain
    or not domain and jar.count >= jar.max
  if is_full then
    remove(jar, oldest_key)
  end
end

local function store(jar, cookie, at)
  local key = key_of(cookie)
  local old = jar.by_key[key]
  jar.last = jar.last + 1
  cookie.id, cookie.used = old and old.id or jar.last, jar.last
  remove(jar, key)
  if cookie.expires <= at then
    return
  end
  if (jar.of_domain[cookie.domain] or 0) >= jar.per_domain then
    make_room(jar, cookie.domain, at)
  end
  if jar.count >= jar.max then
    make_room(jar, nil, at)
  end
  jar.by_key[key] = cookie
  jar.count = jar.count + 1
  jar.of_domain[cookie.domain] = (jar.of_domain[cookie.domain] or 0) + 1
end

-- The parts of what a caller gave as a URL; raises at `level`.
local function parts_of(text, level)
  if type(text) ~= "string" then
    error("URL expected, got " .. type(text), level + 1)
  end
  local parts, msg = url.parse(text)
  if not parts then
    error(msg, level + 1)
  end
  return parts
end

-- For the client, which has taken the URL apart.
function M.set(jar, parts, text)
  local at = core.time()
  local cookie = parse(text, at)
  if not cookie then
    return false
  end
  local said_domain = cookie.domain ~= nil
  if not place(cookie, parts) or not keeps_promises(cookie, parts, said_domain) then
    return false
  end
  cookie.expires = cookie.until_age or cookie.until_date or NEVER
  store(jar, cookie, at)
  return true
end

--- Take a Set-Cookie from a response.
-- @tparam string from the URL that the response is of
-- @tparam string text the field's value
-- @treturn boolean whether it is obeyed: a cookie for another domain is not, for one
-- @raise when the URL is none
-- @source RFC 6265 sections 5.2 and 5.3
function Cookies:set(from, text)
  return M.set(self, parts_of(from, 2), text)
end

-- ---- sending ------------------------------------------------------------------------------------

-- Longer paths first, then the older one (RFC 6265 5.4).
local function comes_before(a, b)
  if #a.path ~= #b.path then
    return #a.path > #b.path
  end
  return a.id < b.id
end

local function is_for(cookie, parts, at)
  local is_host = cookie.host_only and parts.host == cookie.domain
    or not cookie.host_only and domain_matches(parts.host, cookie.domain)
  return is_host and cookie.expires > at and path_matches(parts.path, cookie.path)
    and (not cookie.secure or parts.scheme == "https")
end

-- For the client, which has taken the URL apart.
function M.header(jar, parts)
  local at, list = core.time(), {}
  for _, cookie in pairs(jar.by_key) do
    if is_for(cookie, parts, at) then
      list[#list + 1] = cookie
    end
  end
  if not list[1] then
    return nil
  end
  table.sort(list, comes_before)
  for i, cookie in ipairs(list) do
    jar.last = jar.last + 1
    cookie.used = jar.last
    list[i] = cookie.name .. "=" .. cookie.value
  end
  return table.concat(list, "; ")
end

--- What a request for a URL takes along.
-- @tparam string to a URL
-- @treturn ?string the value of the field Cookie, "a=1; b=2"; nil: nothing
-- @raise when the URL is none
-- @source RFC 6265 section 5.4
function Cookies:header(to)
  return M.header(self, parts_of(to, 2))
end

-- ---- the jar ------------------------------------------------------------------------------------

--- What is in it, in the order in which it was set.
-- @treturn table a new list of {name=, value=, domain=, path=, host_only=, secure=, http_only=,
-- expires= seconds since 1970, math.huge: with the jar}
function Cookies:list()
  local at, list = core.time(), {}
  for _, c in pairs(self.by_key) do
    if c.expires > at then
      list[#list + 1] = {
        id = c.id, name = c.name, value = c.value, domain = c.domain, path = c.path,
        host_only = c.host_only, secure = c.secure or false, http_only = c.http_only or false,
        expires = c.expires,
      }
    end
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  for _, c in ipairs(list) do
    c.id = nil
  end
  return list
end

--- Remove everything.
function Cookies:clear()
  self.by_key, self.of_domain, self.count = {}, {}, 0
end

function Cookies:__tostring()
  return ("ringlet.cookies: %d of at most %d"):format(self.count, self.max)
end

local KNOWN = {max = "number", per_domain = "number"}
local LIMIT = {min = 1, whole = true}

--- An empty jar for the option `cookies` of a client.
-- @tparam[opt] table opts
-- @tparam[opt=3000] integer opts.max cookies; then the least recently used go
-- @tparam[opt=50] integer opts.per_domain of one domain
-- @treturn cookies
-- @raise on an option that is unknown or out of range
-- @source RFC 6265
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, {max = LIMIT, per_domain = LIMIT})
  return setmetatable({
    max = opts.max or 3000, per_domain = opts.per_domain or 50, by_key = {}, of_domain = {},
    count = 0, last = 0,
  }, Cookies)
end

M.Cookies = Cookies

return M
