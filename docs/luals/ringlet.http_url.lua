---@meta ringlet.http_url
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/http_url.lua

---URLs: taken apart, resolved against each other, put together.
---
---    local url = require "ringlet.http_url"
---    url.parse("http://example.com/a?b=c").path          --> /a
---    url.resolve("http://example.com/a/b", "../c?d")      --> http://example.com/c?d
---    url.query{q = "two words", n = 1}                    --> n=1&q=two%20words
---
---Nothing here parks, and what is no URL gives `nil, "EINVAL: ...", "EINVAL"`.
---@class ringlet.http_url
local M = {}

---Percent-encode a text, so that it can stand anywhere in a URL: all but letters, digits and
---"-._~".
---
---Does not park.
---
---Source: RFC 3986 section 2.
---@param text string
---@return string
function M.encode(text) end

---Undo percent-encoding. A "%" that is not followed by two hexadecimal digits stays what it is.
---
---Does not park.
---
---Source: RFC 3986 section 2.1.
---@param text string
---@return string
function M.decode(text) end

---The query of a URL, from names and values, by name in order.
---
---Does not park.
---
---`fields`: name -> a value, or a list of several; `true`: the name alone, `false`: nothing
---@param fields table
---@return string # "a=1&b=2"
function M.query(fields) end

---The names and values of a query. "+" is a space.
---
---Does not park.
---
---Source: https://url.spec.whatwg.org/#urlencoded-parsing.
---@param text string "a=1&b=2"
---@return table # name -> value; of several with one name the last
function M.parse_query(text) end

---What a reference means in a document: an absolute URL.
---
---Does not park.
---
---Source: RFC 3986 section 5.2.
---@param base string the URL of the document
---@param reference string "../a", "//host/b", "?c", "http://host/d"
---@return string
function M.resolve(base, reference) end

---@class ringlet.url
---@field scheme string "http" or "https"
---@field user string|nil what is before "@", decoded
---@field password string|nil
---@field host string in lower case; an IPv6 address without its brackets
---@field port integer also when the URL says none
---@field path string at least "/", percent-encoded
---@field query string|nil percent-encoded
---@field fragment string|nil as it is

---Take the URL of a resource of HTTP apart. White space and what else may not stand in a path or a
---query is percent-encoded there; control characters are refused.
---
---Does not park.
---
---Source: RFC 3986; RFC 9110 section 4.2.
---@param text string
---@return ringlet.url|nil
---@return string|nil # message
---@return string|nil # "EINVAL"; "EPROTONOSUPPORT" for another scheme
---@overload fun(text: string): nil, string, string
function M.parse(text) end

---The host and the port of a URL as one text, as in the field Host: without a port that is the
---scheme's own.
---
---Does not park.
---
---Source: RFC 9110 section 7.2.
---@param parts ringlet.url
---@return string # "example.com", "[::1]:8080"
function M.authority(parts) end

---Where a URL is served: what `net.connect` takes.
---
---Does not park.
---@param parts ringlet.url
---@return string # "example.com:80", "[::1]:8080"
function M.address(parts) end

---Put a URL together, without its user and password.
---
---Does not park.
---
---Source: RFC 3986 section 5.3.
---@param parts ringlet.url as from `parse`
---@return string
function M.build(parts) end

return M
