-- SPDX-License-Identifier: MIT
-- Read the LDoc comments of a Lua source file into tables: what `tools/stubs` writes stubs from.
--
-- A block is a `---` line and the `--` lines that follow it. Its text comes first, then its tags; a
-- tag goes on over the lines that do not begin with another. The line of code below names what is
-- documented unless `@function` does.

local M = {}

-- ---- blocks -------------------------------------------------------------------------------------

-- "[opt=5]" -> {opt = "5"}; "[1]" -> {["1"] = true}
local function modifiers_of(text)
  local set = {}
  for item in (text or ""):gmatch "[^,]+" do
    local key, value = item:match "^%s*([%w_]+)%s*=?%s*(.-)%s*$"
    if key then set[key] = value ~= "" and value or true end
  end
  return set
end

local function add_line(block, line)
  local tag, modifiers, rest = line:match "^%s*@([%w_]+)(%b[])%s*(.*)$"
  if not tag then tag, rest = line:match "^%s*@([%w_]+)%s*(.*)$" end
  if tag then
    local inner = modifiers and modifiers:sub(2, -2)
    block.tags[#block.tags + 1] = {name = tag, modifiers = modifiers_of(inner), text = rest}
  elseif #block.tags > 0 then
    local last = block.tags[#block.tags]
    local glue = last.name == "usage" and "\n" or " "
    last.text = last.text .. glue .. (glue == " " and line:match "^%s*(.-)%s*$" or line)
  else
    block.text[#block.text + 1] = line
  end
end

local function new_block(first, line)
  local block = {text = {}, tags = {}, line = line}
  add_line(block, first)
  return block
end

-- What the code line declares: a function with its parameters, or a field with its literal.
local function declaration(code)
  local name, params = code:match "^%s*function%s+([%w_.:]+)%s*(%b())"
  if not name then name, params = code:match "^%s*([%w_.]+)%s*=%s*function%s*(%b())" end
  if name then
    local list = {}
    for param in params:gmatch "[%w_.]+" do list[#list + 1] = param end
    return {kind = "function", name = name, params = list}
  end
  local target, value = code:match "^%s*([%w_]+%.[%w_.]+)%s*=%s*(.-)%s*$"
  if target then return {kind = "field", name = target, value = value} end
  return nil
end

local function tag_of(block, name)
  for _, tag in ipairs(block.tags) do
    if tag.name == name then return tag end
  end
  return nil
end
M.tag_of = tag_of

-- All blocks of a file in order, each with the declaration below it, and the declarations that have
-- none.
local function blocks_of(lines)
  local blocks, bare, current = {}, {}, nil
  for n, line in ipairs(lines) do
    local opening = line:match "^%s*%-%-%-([^%-].*)$" or line:match "^%s*%-%-%-()$" and ""
    local more = line:match "^%s*%-%-%s?(.*)$"
    if opening then
      current = new_block(opening:gsub("^ ", ""), n)
      blocks[#blocks + 1] = current
    elseif more and current then
      add_line(current, more)
    elseif not more then
      local declared = declaration(line)
      if current then
        current.code = declared
      elseif declared and declared.kind == "function" then
        declared.line = n
        bare[#bare + 1] = declared
      end
      current = nil
    end
  end
  return blocks, bare
end

-- ---- types --------------------------------------------------------------------------------------

local ALIASES = {
  func = "function", bool = "boolean", int = "integer", num = "number", tab = "table",
  str = "string",
}

-- "?string" -> "string", true; "?|string|number" is one or the other, and not optional.
local function strip_optional(text)
  if text:sub(1, 2) == "?|" then return text:sub(3), false end
  if text:sub(1, 1) == "?" then return text:sub(2), true end
  return text, false
end

-- An LDoc type as a LuaCATS one: "?string" -> "string|nil", "{number,...}" -> "number[]". `resolve`
-- turns the name of a class into its full name.
function M.type_of(text, resolve)
  local bare, optional = strip_optional(text)
  local items, seen = {}, {}
  local function add(item)
    if not seen[item] then items[#items + 1] = item end
    seen[item] = true
  end
  for item in (bare .. (optional and "|nil" or "")):gmatch "[^|]+" do
    local element = item:match "^{%s*([%w_.]+),?%s*%.%.%.}$" or item:match "^([%w_.]+)%[%]$"
    if element then
      add(resolve(ALIASES[element] or element) .. "[]")
    elseif item:match "^{" then
      add "table"
    elseif item:match "^func?t?i?o?n?%(" then
      add "function"
    else
      add(resolve(ALIASES[item] or item))
    end
  end
  return table.concat(items, "|")
end

-- ---- items --------------------------------------------------------------------------------------

-- The first word is a type, which may hold spaces inside braces or parentheses.
local function split_type(text)
  local depth, i = 0, 1
  while i <= #text do
    local char = text:sub(i, i)
    if char:find "[{(]" then depth = depth + 1 end
    if char:find "[})]" then depth = depth - 1 end
    if char == " " and depth == 0 then break end
    i = i + 1
  end
  return text:sub(1, i - 1), (text:sub(i + 1):gsub("^%s+", ""))
end

local function param_of(tag)
  local kind, rest = "any", tag.text
  if tag.name == "tparam" then
    kind, rest = split_type(rest)
  elseif type(tag.modifiers.type) == "string" then
    kind = tag.modifiers.type
  end
  local name, text = rest:match "^(%S+)%s*(.*)$"
  if not name then return nil end
  local bare, optional = strip_optional(kind)
  return {
    name = name, type = bare, text = text,
    optional = optional or tag.modifiers.opt ~= nil or tag.modifiers.optchain ~= nil,
    default = type(tag.modifiers.opt) == "string" and tag.modifiers.opt or nil,
  }
end

-- @treturn[2] puts a value into the second way of returning; position by position they are unions.
local function returns_of(block)
  local groups, order = {}, {}
  for _, tag in ipairs(block.tags) do
    if tag.name == "treturn" or tag.name == "return" then
      local key = next(tag.modifiers) or "1"
      if not groups[key] then
        groups[key] = {}
        order[#order + 1] = key
      end
      local kind, text = "any", tag.text
      if tag.name == "treturn" then kind, text = split_type(tag.text) end
      groups[key][#groups[key] + 1] = {type = kind, text = text}
    end
  end
  local list = {}
  for _, key in ipairs(order) do list[#list + 1] = groups[key] end
  return list
end

local function item_of(block, name, params)
  local item = {
    kind = "function", name = name, line = block.line, params = {}, names = params,
    text = block.text, returns = returns_of(block), raises = {}, usage = {}, see = {},
  }
  for _, tag in ipairs(block.tags) do
    if tag.name == "param" or tag.name == "tparam" then
      item.params[#item.params + 1] = param_of(tag)
    elseif tag.name == "raise" then
      item.raises[#item.raises + 1] = tag.text
    elseif tag.name == "usage" then
      item.usage[#item.usage + 1] = tag.text
    elseif tag.name == "see" then
      item.see[#item.see + 1] = tag.text
    end
  end
  if not item.names then
    item.names = {}
    for _, param in ipairs(item.params) do
      if not param.name:find "%." or param.name == "..." then
        item.names[#item.names + 1] = param.name
      end
    end
  end
  return item
end

local function fields_of(block)
  local list = {}
  for _, tag in ipairs(block.tags) do
    local kind, rest = "any", tag.text
    if tag.name == "tfield" then kind, rest = split_type(rest) end
    if tag.name == "field" or tag.name == "tfield" then
      local name, text = rest:match "^(%S+)%s*(.*)$"
      list[#list + 1] = {name = name, type = kind, text = text}
    end
  end
  return list
end

local function class_of(module, name, block)
  local class = module.classes[name]
  if not class then
    class = {name = name, text = block.text, fields = fields_of(block), items = {}}
    module.classes[name] = class
    module.order[#module.order + 1] = class
  end
  return class
end

-- Where a documented thing goes: a class (its own prefix, or the @type section it is in), or the
-- module. Returns the owner, the bare name and whether it is a method.
local function owner_of(module, section, full, is_tagged)
  local prefix, mark, name = full:match "^(.*)([.:])([%w_]+)$"
  if not prefix then return section or module, full, section ~= nil end
  local class = module.classes[prefix] or module.classes[prefix:lower()]
  if class then return class, name, mark == ":" end
  if prefix == module.name or prefix == module.short then return module, name, false end
  if section and (mark == ":" or is_tagged) then return section, name, mark == ":" end
  return module, name, false
end

-- ---- a file -------------------------------------------------------------------------------------

local function add_block(module, section, block)
  local type_tag = tag_of(block, "type") or tag_of(block, "classmod")
  if type_tag and not tag_of(block, "function") then
    return class_of(module, type_tag.text:match "%S+", block)
  end
  if tag_of(block, "section") then return nil end
  if tag_of(block, "local") or tag_of(block, "module") then return section end
  local named = tag_of(block, "function")
  local code = block.code
  if named then
    local owner, name, method = owner_of(module, section, named.text:match "^%S+", true)
    local item = item_of(block, name, nil)
    item.method = method
    owner.items[#owner.items + 1] = item
  elseif code and code.kind == "function" then
    local owner, name, method = owner_of(module, section, code.name, false)
    local item = item_of(block, name, code.params)
    item.method = method
    owner.items[#owner.items + 1] = item
  elseif code and code.name:match "^M%." then
    local name = code.name:match "[%w_]+$"
    module.items[#module.items + 1] =
      {kind = "field", name = name, text = block.text, value = code.value, line = block.line}
  end
  return section
end

-- The documented module in `lines`, or nil when the file has no @module: then it is internal.
function M.module_of(lines)
  local blocks, bare = blocks_of(lines)
  local module
  for _, block in ipairs(blocks) do
    local tag = tag_of(block, "module")
    if tag then
      local name = tag.text:match "%S+"
      module = {
        name = name, short = name:match "[%w_]+$", text = block.text, items = {}, classes = {},
        order = {}, undocumented = {},
      }
      break
    end
  end
  if not module then return nil end
  local section
  for _, block in ipairs(blocks) do section = add_block(module, section, block) end
  for _, code in ipairs(bare) do
    if code.name:find "[.:][^_][%w_]*$" and not code.name:find "%.__" then
      module.undocumented[#module.undocumented + 1] = code
    end
  end
  return module
end

return M
