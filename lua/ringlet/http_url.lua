-- SPDX-License-Identifier: MIT
--- URLs: taken apart, resolved against each other, put together.
--
--     local url = require "ringlet.http_url"
--     url.parse("http://example.com/a?b=c").path          --> /a
--     url.resolve("http://example.com/a/b", "../c?d")      --> http://example.com/c?d
--     url.query{q = "two words", n = 1}                    --> n=1&q=two%20words
--
-- Nothing here parks, and what is no URL gives `nil, "EINVAL: ...", "EINVAL"`.
-- @module ringlet.http_url

local M = {}

local PORTS = {http = 80, https = 443}

local byte, char, format = string.byte, string.char, string.format

-- ---- percent-encoding ---------------------------------------------------------------------------

local function escape(c)
  return format("%%%02X", byte(c))
end

--- Percent-encode a text, so that it can stand anywhere in a URL: all but letters, digits and
-- "-._~".
-- @tparam string text
-- @treturn string
-- @source RFC 3986 section 2
function M.encode(text)
  return (text:gsub("[^%w%-._~]", escape))
end

--- Undo percent-encoding. A "%" that is not followed by two hexadecimal digits stays what it is.
-- @tparam string text
-- @treturn string
-- @source RFC 3986 section 2.1
function M.decode(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return char(tonumber(digits, 16))
  end))
end

-- Encode what must not stand in a path or a query, and leave what may be encoded already.
local function escape_rest(text)
  return (text:gsub("[^%w%-._~!$&'()*+,;=:@/?%%]", escape))
end

local function pair(name, value)
  if value == true then
    return M.encode(name)
  end
  return M.encode(name) .. "=" .. M.encode(tostring(value))
end

local function add_pairs(list, name, value)
  if type(value) == "table" then
    for _, one in ipairs(value) do
      list[#list + 1] = pair(name, one)
    end
  elseif value ~= false then
    list[#list + 1] = pair(name, value)
  end
end

--- The query of a URL, from names and values, by name in order.
-- @tparam {[string]=any} fields name -> a value, or a list of several; `true`: the name alone,
-- `false`: nothing
-- @treturn string "a=1&b=2"
function M.query(fields)
  local names, list = {}, {}
  for name in pairs(fields) do
    if type(name) ~= "string" then
      error("names of a query are strings, not a " .. type(name), 2)
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    add_pairs(list, name, fields[name])
  end
  return table.concat(list, "&")
end

--- The names and values of a query. "+" is a space.
-- @tparam string text "a=1&b=2"
-- @treturn {[string]=string} name -> value; of several with one name the last
-- @source https://url.spec.whatwg.org/#urlencoded-parsing
function M.parse_query(text)
  local fields = {}
  for item in text:gmatch "[^&]+" do
    local name, value = item:match "^([^=]*)=?(.*)$"
    fields[M.decode((name:gsub("%+", " ")))] = M.decode((value:gsub("%+", " ")))
  end
  return fields
end

-- ---- references ---------------------------------------------------------------------------------

-- The five parts of a reference; all but the path may be nil, which is not the same as empty.
local function split(text)
  local ref = {}
  text = text:gsub("#(.*)$", function(fragment)
    ref.fragment = fragment
    return ""
  end, 1)
  text = text:gsub("%?(.*)$", function(query)
    ref.query = query
    return ""
  end, 1)
  local scheme, rest = text:match "^(%a[%w+.-]*):(.*)$"
  ref.scheme, text = scheme, rest or text
  ref.authority, rest = text:match "^//([^/]*)(.*)$"
  ref.path = ref.authority and rest or text
  return ref
end

local function join(ref)
  return (ref.scheme and ref.scheme .. ":" or "")
    .. (ref.authority and "//" .. ref.authority or "") .. ref.path
    .. (ref.query and "?" .. ref.query or "")
    .. (ref.fragment and "#" .. ref.fragment or "")
end

-- "/a/./b/../c" -> "/a/c": a path that begins with a slash.
local function remove_dots(path)
  local kept, segment = {}, nil
  for one in (path .. "/"):sub(2):gmatch "([^/]*)/" do
    segment = one
    if segment == ".." then
      kept[#kept] = nil
    elseif segment ~= "." then
      kept[#kept + 1] = segment
    end
  end
  if segment == "." or segment == ".." then
    kept[#kept + 1] = ""
  end
  return "/" .. table.concat(kept, "/")
end

local function merge(base, path)
  return (base.path:match "^.*/" or "/") .. path
end

local function absolute(base, ref)
  if ref.scheme or ref.authority then
    ref.scheme = ref.scheme or base.scheme
    ref.path = ref.path:find "^/" and remove_dots(ref.path) or ref.path
    return ref
  end
  ref.scheme, ref.authority = base.scheme, base.authority
  if ref.path == "" then
    ref.path, ref.query = base.path, ref.query or base.query
  elseif ref.path:find "^/" then
    ref.path = remove_dots(ref.path)
  else
    ref.path = remove_dots(merge(base, ref.path))
  end
  return ref
end

--- What a reference means in a document: an absolute URL.
-- @tparam string base the URL of the document
-- @tparam string reference "../a", "//host/b", "?c", "http://host/d"
-- @treturn string
-- @source RFC 3986 section 5.2
function M.resolve(base, reference)
  return join(absolute(split(base), split(reference)))
end

-- ---- absolute URLs of HTTP ----------------------------------------------------------------------

local function bad(text, why)
  return nil, ("EINVAL: %s in the URL %q"):format(why, text), "EINVAL"
end

-- "user:password@host:port" -> user, password, host, port's text
local function split_authority(authority)
  local userinfo, rest = authority:match "^(.*)@(.*)$"
  rest = rest or authority
  local user, password
  if userinfo then
    user, password = userinfo:match "^([^:]*):?(.*)$"
  end
  local host, port = rest:match "^(%b[]):?(%d*)$"
  if not host then
    host, port = rest:match "^([^:%[%]]*):?(%d*)$"
  end
  return user and M.decode(user), password and M.decode(password), host, port
end

local function is_host(host)
  if host:sub(1, 1) == "[" then
    return host:find "^%[[%x:.]+%]$" ~= nil
  end
  return host:find "^[%w%-._~!$&'()*+,;=]+$" ~= nil
end

--- Take the URL of a resource of HTTP apart. White space and what else may not stand in a path or a
-- query is percent-encoded there; control characters are refused.
-- @tparam string text
-- @treturn url
-- @tfield[url] string scheme "http" or "https"
-- @tfield[url] ?string user what is before "@", decoded
-- @tfield[url] ?string password
-- @tfield[url] string host in lower case; an IPv6 address without its brackets
-- @tfield[url] integer port also when the URL says none
-- @tfield[url] string path at least "/", percent-encoded
-- @tfield[url] ?string query percent-encoded
-- @tfield[url] ?string fragment as it is
-- @fails "EINVAL"; "EPROTONOSUPPORT" for another scheme
-- @source RFC 3986; RFC 9110 section 4.2
function M.parse(text)
  if text:find "[%z\1-\31\127]" then
    return bad(text, "a control character")
  end
  local ref = split(text)
  local scheme = ref.scheme and ref.scheme:lower()
  if not scheme or not ref.authority then
    return bad(text, "no scheme and host")
  elseif not PORTS[scheme] then
    return nil, ("EPROTONOSUPPORT: the scheme of %q is neither http nor https"):format(text),
      "EPROTONOSUPPORT"
  end
  local user, password, host, port = split_authority(ref.authority)
  if not host or not is_host(host) then
    return bad(text, "no valid host and port")
  end
  port = port ~= "" and tonumber(port) or PORTS[scheme]
  if port < 1 or port > 65535 then
    return bad(text, "no valid port")
  end
  return {
    scheme = scheme, user = user, password = password, port = port,
    host = host:lower():gsub("^%[(.*)%]$", "%1"),
    path = ref.path == "" and "/" or escape_rest(ref.path),
    query = ref.query and escape_rest(ref.query), fragment = ref.fragment,
  }
end

local function bracketed(host)
  return host:find(":", 1, true) and "[" .. host .. "]" or host
end

--- The host and the port of a URL as one text, as in the field Host: without a port that is the
-- scheme's own.
-- @tparam url parts
-- @treturn string "example.com", "[::1]:8080"
-- @source RFC 9110 section 7.2
function M.authority(parts)
  local host = bracketed(parts.host)
  return parts.port == PORTS[parts.scheme] and host or host .. ":" .. parts.port
end

--- Where a URL is served: what `net.connect` takes.
-- @tparam url parts
-- @treturn string "example.com:80", "[::1]:8080"
function M.address(parts)
  return bracketed(parts.host) .. ":" .. parts.port
end

--- Put a URL together, without its user and password.
-- @tparam url parts as from `parse`
-- @treturn string
-- @source RFC 3986 section 5.3
function M.build(parts)
  return join{
    scheme = parts.scheme, authority = M.authority(parts), path = parts.path, query = parts.query,
    fragment = parts.fragment,
  }
end

return M
