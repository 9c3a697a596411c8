-- SPDX-License-Identifier: MIT
-- http_client_head: the head of a request as one text, which conn:write takes as it is.
--
-- Invariant: whatever a user gave has passed the core's checks of what may be written: nothing of
-- it ends a line or a head. Fields are written in the order of their names, so that a run of the
-- sim backend can be repeated.

local core = require "ringlet.core"

local is_token, is_value, is_target = core.http_is_token, core.http_is_value, core.http_is_target

local M = {}

-- How a message ends is the client's matter.
local OWN = {
  ["content-length"] = "the option 'length' says it",
  ["transfer-encoding"] = "a body without a length goes in chunks",
  ["expect"] = "the option 'expect' sends it",
}

local function check_value(name, value, level)
  if type(value) ~= "string" and type(value) ~= "number" then
    error(("the value of %s is a %s, not a string"):format(name, type(value)), level)
  end
  value = tostring(value):gsub("^[ \t]+", ""):gsub("[ \t]+$", "")
  if not is_value(value) then
    error(("the value of %s holds a control character"):format(name), level)
  end
  return value
end

local function add_field(fields, name, value, level)
  local lower = name:lower()
  if OWN[lower] then
    error(("%s is not to be set: %s"):format(name, OWN[lower]), level)
  end
  local values = type(value) == "table" and value or {value}
  for _, one in ipairs(values) do
    if one ~= false then
      one = name .. ": " .. check_value(name, one, level + 1)
    end
    fields[#fields + 1] = {lower, one}
  end
end

-- The fields that a user gave, as a list of {name in lower case, line or false}. `level` is his,
-- for error.
function M.fields(headers, level)
  local names, fields = {}, {}
  for name in pairs(headers) do
    if type(name) ~= "string" or not is_token(name) then
      error(("no name of a header field: %q"):format(tostring(name)), level)
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    add_field(fields, name, headers[name], level + 1)
  end
  return fields
end

-- Is there one of this name, in lower case, in such a list?
function M.has(list, name)
  for _, field in ipairs(list) do
    if field[1] == name then
      return true
    end
  end
  return false
end

-- Those of `list` that are not in the set of names `without`.
function M.without(list, without)
  local kept = {}
  for _, field in ipairs(list) do
    if not without[field[1]] then
      kept[#kept + 1] = field
    end
  end
  return kept
end

function M.check_method(method, level)
  if type(method) ~= "string" or not is_token(method) or #method > 32 then
    error(("no method: %q"):format(tostring(method)), level)
  elseif method == "CONNECT" then
    error("CONNECT is what http.tunnel sends", level)
  end
end

-- Whether a target, "/path?query", may be sent.
M.is_target = is_target

local function add_lines(lines, seen, list)
  for _, field in ipairs(list) do
    if field[2] and not seen[field[1]] then
      lines[#lines + 1] = field[2]
    end
  end
end

-- What a request has in front of what its user wants: unless he says otherwise.
local DEFAULTS = {{"user-agent", "User-Agent: ringlet"}, {"accept-encoding",
  "Accept-Encoding: identity"}}

local function names_of(list, seen)
  for _, field in ipairs(list) do
    seen[field[1]] = true
  end
  return seen
end

-- "GET /path HTTP/1.1\r\nHost: ...\r\n...\r\n\r\n". `own` are the user's fields, `usual` those that
-- his client has for all requests, `more` further lines.
function M.text(method, target, host, usual, own, more)
  local lines = {method .. " " .. target .. " HTTP/1.1"}
  local by_user = names_of(own, {})
  if not by_user.host then
    lines[2] = "Host: " .. host
  end
  add_lines(lines, names_of(usual, names_of(own, {})), DEFAULTS)
  add_lines(lines, by_user, usual)
  add_lines(lines, {}, own)
  for _, line in ipairs(more) do
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

return M
