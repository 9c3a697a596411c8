-- SPDX-License-Identifier: MIT
-- history: what a program did, as a list of events in the order they happened.
--
-- An event is a call or its return: {call = c} or {ret = c}. c = {op, task, at, ...arguments} and,
-- once it returned, c.ret = {kind, at, ...}. kind is "ok" with values, "code" with msg and code,
-- "cancel" with a reason, or "raise" with an error. Marks ("begin", "end", ...) never return.

local rl = require "ringlet"

local History = {}
History.__index = History

local function new()
  return setmetatable({events = {}, errors = {}, error_count = 0, counts = {}}, History)
end

-- A name for an error value: equal names are the same value.
function History:name_error(err)
  if type(err) == "table" then
    if not self.errors[err] then
      self.error_count = self.error_count + 1
      self.errors[err] = ("error#%d"):format(self.error_count)
    end
    return self.errors[err]
  end
  return (tostring(err):gsub("^[^\n]-:%d+: ", ""))
end

-- What pcall gave, as an outcome.
function History:outcome(ok, ...)
  local first, second, third = ...
  if not ok then
    local cancelled, reason = rl.is_cancel(first)
    return {
      kind = cancelled and "cancel" or "raise", reason = reason and tostring(reason),
      err = self:name_error(first), raw = first,
    }
  elseif first == nil and type(third) == "string" then
    return {kind = "code", code = third, msg = second, n = select("#", ...), ...}
  end
  local r = {kind = "ok", n = select("#", ...), ...}
  -- What join and a select of a task give for a failure: false and the error.
  for i = 1, 2 do
    if r[i] == false and r.n == i + 1 then
      r[i + 1] = self:name_error(r[i + 1])
    end
  end
  return r
end

function History:call(c)
  c.at = rl.now()
  self.events[#self.events + 1] = {call = c}
  self.counts[c.op] = (self.counts[c.op] or 0) + 1
end

function History:returned(c, r)
  r.at = rl.now()
  c.ret = r
  self.events[#self.events + 1] = {ret = c}
  return r
end

local HIDDEN = {raw = true, ret = true, at = true, op = true, task = true, kind = true}

local function text_of(v)
  if type(v) == "table" then
    local parts = {}
    for i, item in ipairs(v) do
      parts[i] = text_of(item)
    end
    return "{" .. table.concat(parts, " ") .. "}"
  elseif type(v) == "string" then
    return #v > 40 and ("%q.."):format(v:sub(1, 30)) .. #v or ("%q"):format(v)
  elseif type(v) == "number" then
    return ("%.10g"):format(v)
  elseif type(v) == "boolean" then
    return tostring(v)
  end
  return v == nil and "nil" or "<" .. type(v) .. ">"
end

local function fields(t)
  local names, parts = {}, {}
  for k in pairs(t) do
    if type(k) == "string" and not HIDDEN[k] then
      names[#names + 1] = k
    end
  end
  table.sort(names)
  for i = 1, t.kind and t.n or 0 do
    parts[i] = text_of(t[i])
  end
  for _, k in ipairs(names) do
    if k ~= "n" or not t.kind then
      parts[#parts + 1] = k .. "=" .. text_of(t[k])
    end
  end
  return table.concat(parts, " ")
end

local function line(event)
  local c = event.call or event.ret
  if event.call then
    return ("%.9f task %s  %s %s"):format(c.at, c.task, c.op, fields(c))
  end
  return ("%.9f task %s    %s -> %s %s"):format(c.ret.at, c.task, c.op, c.ret.kind, fields(c.ret))
end

-- The history as lines of text: equal text is an equal history.
function History:lines()
  local lines = {}
  for i, event in ipairs(self.events) do
    lines[i] = ("%5d %s"):format(i, line(event))
  end
  return lines
end

return {new = new}
