-- SPDX-License-Identifier: MIT
-- admin_params: the parameters of a query, checked against what a route takes. A parameter is
-- described by `true` (any text of 200 bytes at most), by a list of words, or by the bounds of a
-- number.

local M = {}

local TEXT_MAX = 200

local function number_of(name, text, bound)
  local v = tonumber(text, 10) or tonumber(text)
  if not v or v ~= v or v < bound.min or v > (bound.max or math.huge)
    or bound.whole and v % 1 ~= 0 then
    return nil, ("%s: a%s number from %g%s expected"):format(name, bound.whole and " whole" or "",
      bound.min, bound.max and " to " .. bound.max or " on")
  end
  return v
end

local function word_of(name, text, words)
  for _, word in ipairs(words) do
    if word == text then
      return word
    end
  end
  return nil, ("%s: %s expected"):format(name, table.concat(words, " or "))
end

local function value_of(name, text, about)
  if type(text) ~= "string" then
    return nil, name .. ": only once"
  elseif about == true then
    if #text > TEXT_MAX then
      return nil, ("%s: at most %d bytes"):format(name, TEXT_MAX)
    end
    return text
  elseif about[1] then
    return word_of(name, text, about)
  end
  return number_of(name, text, about)
end

--- What was given as values of a new table; nil, text if something is wrong with it. The token is
-- no parameter of a route, and one that is empty was not given.
function M.check(given, known)
  local args = {}
  for name, text in pairs(given) do
    local about = known and known[name]
    if about and text ~= "" then
      local v, why = value_of(name, text, about)
      if v == nil then
        return nil, why
      end
      args[name] = v
    elseif not about and name ~= "token" then
      return nil, "unknown parameter: " .. name:gsub("[^%w_-]", "?"):sub(1, 40)
    end
  end
  return args
end

return M
