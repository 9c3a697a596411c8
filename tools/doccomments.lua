-- SPDX-License-Identifier: MIT
-- Read the doc comments of the library into tables: what `tools/stubs` writes the LuaLS stubs from
-- and `tools/reference` what LDoc reads.
--
-- A block is a `---` line and the `--` lines that follow it. Its text comes first, then its tags; a
-- tag goes on over the lines that do not begin with another. The line of code below names what is
-- documented unless `@function` does. The tags are LDoc's, and three of ours:
--
--   @parks [when]   the function may park the task that calls it; without it, it does not
--   @fails codes    a second way to return: nil, a message, one of these codes
--   @source text    the RFC, paper or man page that defines the behaviour
--
-- Several files may belong to one module: their blocks are joined. What `require "ringlet"` gives
-- is read from the table in init.lua (`chan = chan.new`), what `ringlet.shared`, `ringlet.http`,
-- `ringlet.metrics`, `ringlet.trace` and `ringlet.bpf` give from those in shared.lua, http.lua and
-- so on: only what is named there is public.

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

-- What the code line declares: a function with its parameters, the table of a class, or a field.
local function declaration(code)
  local name, params = code:match "^%s*function%s+([%w_.:]+)%s*(%b())"
  if not name then name, params = code:match "^%s*([%w_.]+)%s*=%s*function%s*(%b())" end
  if name then
    local list = {}
    for param in params:gmatch "[%w_.]+" do list[#list + 1] = param end
    return {kind = "function", name = name, params = list}
  end
  local class = code:match "^local%s+([%w_]+)%s*=[^=]"
  if class then return {kind = "class", name = class} end
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

-- All blocks of a file in order, each with the declaration below it, and the functions that have
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

-- Split at a character, but not inside of braces or parentheses.
local function split(text, at)
  local parts, depth, from = {}, 0, 1
  for i = 1, #text do
    local char = text:sub(i, i)
    if char:find "[{(]" then depth = depth + 1 end
    if char:find "[})]" then depth = depth - 1 end
    if char == at and depth == 0 then
      parts[#parts + 1] = text:sub(from, i - 1)
      from = i + 1
    end
  end
  parts[#parts + 1] = text:sub(from)
  return parts
end

-- "fun(conn:conn,data:string):any" -> "fun(conn: ringlet.conn, data: string): any"
local function callback_type(text, resolve)
  local inner, result = text:match "^fun(%b()):?(.*)$"
  local params = {}
  for _, part in ipairs(inner == "()" and {} or split(inner:sub(2, -2), ",")) do
    local name, kind = part:match "^([%w_.]+%??):(.+)$"
    params[#params + 1] = name and name .. ": " .. M.type_of(kind, resolve) or part
  end
  return "fun(" .. table.concat(params, ", ") .. ")" ..
    (result ~= "" and ": " .. M.type_of(result, resolve) or "")
end

-- An LDoc type as a LuaCATS one: "?string" -> "string|nil", "{number,...}" -> "number[]". `resolve`
-- turns the name of a class into its full name.
function M.type_of(text, resolve)
  local bare, optional = strip_optional(text)
  local items, seen = {}, {}
  for _, item in ipairs(split(bare .. (optional and "|nil" or ""), "|")) do
    local element = item:match "^{%s*([%w_.]+),?%s*%.%.%.}$" or item:match "^([%w_.]+)%[%]$"
    local full
    if element then
      full = resolve(ALIASES[element] or element) .. "[]"
    elseif item:find "^{" then
      full = "table"
    elseif item:find "^fun%(" then
      full = callback_type(item, resolve)
    else
      full = resolve(ALIASES[item] or item)
    end
    if not seen[full] then items[#items + 1] = full end
    seen[full] = true
  end
  return table.concat(items, "|")
end

local LITERALS = {["true"] = true, ["false"] = true, ["nil"] = true}

-- Is the type a single value?
function M.is_literal(kind)
  return LITERALS[kind] == true
end

-- ---- items --------------------------------------------------------------------------------------

-- The first word is a type, which may hold spaces inside braces or parentheses.
local function split_type(text)
  local kind = split(text, " ")[1]
  return kind, (text:sub(#kind + 1):gsub("^%s+", ""))
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

-- @treturn[2] puts a value into the second way of returning; @fails is the last way.
local function ways_of(block)
  local groups, order = {}, {}
  local function add(key, value)
    if not groups[key] then
      groups[key] = {}
      order[#order + 1] = key
    end
    groups[key][#groups[key] + 1] = value
  end
  for _, tag in ipairs(block.tags) do
    if tag.name == "treturn" or tag.name == "return" then
      local kind, text = "any", tag.text
      if tag.name == "treturn" then kind, text = split_type(tag.text) end
      add(next(tag.modifiers) or "1", {type = kind, text = text})
    elseif tag.name == "fails" then
      add("fails", {type = "nil", text = ""})
      add("fails", {type = "string", text = "message"})
      add("fails", {type = "string", text = tag.text})
    end
  end
  local list = {}
  for _, key in ipairs(order) do list[#list + 1] = groups[key] end
  return list
end

-- The fields in a block: of a class, or, with [name], of the table a function returns.
local function fields_of(block)
  local list = {}
  for _, tag in ipairs(block.tags) do
    local kind, rest = "any", tag.text
    if tag.name == "tfield" then kind, rest = split_type(rest) end
    if tag.name == "field" or tag.name == "tfield" then
      local name, text = rest:match "^(%S+)%s*(.*)$"
      list[#list + 1] = {name = name, type = kind, text = text, of = next(tag.modifiers)}
    end
  end
  return list
end

local function names_of(params)
  local names = {}
  for _, param in ipairs(params) do
    if not param.name:find "%." or param.name == "..." then names[#names + 1] = param.name end
  end
  return names
end

-- `formals`: the parameters in the code, nil when the code does not say.
local function item_of(block, name, formals)
  local function text_of(tag)
    local found = tag_of(block, tag)
    return found and found.text
  end
  local item = {
    kind = "function", name = name, line = block.line, params = {}, text = block.text,
    ways = ways_of(block), fields = fields_of(block), raises = text_of "raise",
    parks = text_of "parks", source = text_of "source", usage = text_of "usage", see = {},
  }
  for _, tag in ipairs(block.tags) do
    if tag.name == "param" or tag.name == "tparam" then
      item.params[#item.params + 1] = param_of(tag)
    elseif tag.name == "see" then
      item.see[#item.see + 1] = tag.text
    end
  end
  item.formals = formals
  item.names = names_of(item.params)
  return item
end

-- What every page says of a function, as sentences.
function M.facts_of(item)
  local function sentence(head, text)
    return (head .. text):gsub("[^.!?]$", "%0.")
  end
  local facts = {}
  if item.parks then
    facts[1] = sentence("Parks", item.parks ~= "" and " " .. item.parks or "")
  else
    facts[1] = "Does not park."
  end
  if item.raises then facts[#facts + 1] = sentence("Raises ", item.raises) end
  if item.source then facts[#facts + 1] = sentence("Source: ", item.source) end
  return facts
end

-- ---- a file -------------------------------------------------------------------------------------

-- What init.lua, or another file of a module, gives: {["ringlet.chan"] = {new = "chan"}}; also what
-- it reads when it is first asked for: chan = {"ringlet.chan", "new"}
function M.exports_of(lines)
  local files, exports = {}, {}
  for _, line in ipairs(lines) do
    local name, file = line:match "^local ([%w_]+) = require \"(ringlet%.[%w_]+)\"$"
    if name then
      files[name] = file
      exports[file] = {}
    end
    for public, from, fn in line:gmatch "([%w_]+) = ([%w_]+)%.([%w_]+)" do
      if files[from] then exports[files[from]][fn] = public end
    end
    local public, from, fn = line:match "^  ([%w_]+) = {\"(ringlet%.[%w_]+)\", \"([%w_]+)\"},$"
    if public then
      exports[from] = exports[from] or {}
      exports[from][fn] = public
    end
  end
  return exports
end

local File = {}
File.__index = File

function File:problem(line, ...)
  self.problems[#self.problems + 1] = ("%s:%d: %s"):format(self.path, line, string.format(...))
end

function File:add_class(block)
  local name = tag_of(block, "type").text:match "%S+"
  local class = {kind = "class", name = name, text = block.text, fields = fields_of(block),
    items = {}, line = block.line, path = self.path}
  self.module.parts[#self.module.parts + 1] = class
  if block.code and block.code.kind == "class" then self.locals[block.code.name] = class end
  self.locals[name] = class
  return class
end

-- Where the function `full` of the code goes: its class, or the module, and under which name; nil
-- when it is private. Metamethods are public when they are documented.
function File:place(full, is_documented)
  local prefix, name = full:match "^(.*)[.:]([%w_]+)$"
  if not prefix then return nil end
  local class = self.locals[prefix]
  if class then
    if name:find "_$" or name:find "^_" and not is_documented then return nil end
    return class, name
  end
  if prefix ~= self.returned then return nil end
  if self.exports then return self.part, self.exports[name] end
  if self.is_main then return self.part, name end
  return nil
end

local function without_self(full, formals)
  if full:find ":" then return formals end
  return {(table.unpack or unpack)(formals, 2)} -- luacheck: ignore 113
end

function File:check_params(item)
  if not item.formals then return end
  local formals, params = {}, {}
  for _, name in ipairs(item.formals) do formals[name] = true end
  for _, param in ipairs(item.params) do
    local base = param.name == "..." and param.name or param.name:match "^[^.]+"
    params[param.name] = true
    if not formals[base] then
      self:problem(item.line, "%s has no parameter %s", item.name, base)
    end
  end
  for _, name in ipairs(item.formals) do
    if not params[name] then
      self:problem(item.line, "parameter %s of %s is not documented", name, item.name)
    end
  end
  if #item.names == #item.formals and table.concat(item.names) ~= table.concat(item.formals) then
    self:problem(item.line, "the parameters of %s are in another order", item.name)
  end
end

function File:add_function(owner, item)
  if owner.kind == "class" then item.method = true end
  self:check_params(item)
  owner.items[#owner.items + 1] = item
end

function File:add_item(block, class)
  local named, code = tag_of(block, "function"), block.code
  if named then
    local prefix, name = named.text:match "^([%w_]+)[.:]([%w_]+)"
    local owner = prefix and self.locals[prefix] or prefix ~= self.returned and class or self.part
    self:add_function(owner, item_of(block, name or named.text:match "[%w_]+"))
  elseif code and code.kind == "function" then
    local owner, name = self:place(code.name, true)
    if not owner or not name then
      self:problem(block.line, "%s is not public: begin its comment with two hyphens", code.name)
    else
      local formals = owner.kind == "class" and without_self(code.name, code.params) or code.params
      self:add_function(owner, item_of(block, name, formals))
    end
  elseif tag_of(block, "tfield") then
    local owner = class or self.part
    for _, field in ipairs(fields_of(block)) do
      owner.fields[#owner.fields + 1] = field
      if #block.tags == 1 then field.comment = block.text end
    end
  else
    self:problem(block.line, "a comment of nothing: begin it with two hyphens, or say @function")
  end
end

function File:add_blocks(blocks)
  local class
  for _, block in ipairs(blocks) do
    local section = tag_of(block, "section")
    if tag_of(block, "module") then
      local owner = self.is_main and self.module or self.part
      owner.text = block.text
    elseif tag_of(block, "type") then
      class = self:add_class(block)
    elseif section then
      class = nil
    elseif not tag_of(block, "local") then
      self:add_item(block, class)
    end
  end
end

-- Public functions without a comment.
function File:check_documented(bare)
  for _, code in ipairs(bare) do
    local owner, name = self:place(code.name)
    if owner and name then self:problem(code.line, "%s has no comment", code.name) end
  end
  local documented = {}
  for _, item in ipairs(self.part.items) do documented[item.name] = true end
  for _, public in pairs(self.exports or {}) do
    if not documented[public] then self:problem(1, "%s has no comment", public) end
  end
end

local function module_named(modules, name)
  for _, module in ipairs(modules) do
    if module.name == name then return module end
  end
  local module = {name = name, text = {}, parts = {}, paths = {}}
  modules[#modules + 1] = module
  return module
end

local function returned_by(lines)
  for n = #lines, 1, -1 do
    local name = lines[n]:match "^return ([%w_]+)$"
    if name then return name end
  end
  return nil
end

-- Add what `lines` of the file `path` document to `modules`; a file without @module is internal.
-- Problems, as text, go to `problems`.
function M.add_file(modules, path, lines, exports, problems)
  local blocks, bare = blocks_of(lines)
  local tag, title
  for _, block in ipairs(blocks) do
    if not tag then
      tag, title = tag_of(block, "module"), tag_of(block, "section")
    end
  end
  local file = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  if not tag then
    for name in pairs(exports[file] or {}) do
      problems[#problems + 1] = ("%s: %s is public, but there is no @module"):format(path, name)
    end
    return
  end
  local name = tag.text:match "%S+"
  local module = module_named(modules, name)
  local part = {kind = "section", title = title and title.text, text = {}, items = {},
    fields = {}, path = path}
  module.parts[#module.parts + 1] = part
  module.paths[#module.paths + 1] = path
  local self = setmetatable({path = path, module = module, part = part, locals = {},
    returned = returned_by(lines), is_main = file == name, exports = exports[file],
    problems = problems}, File)
  self:add_blocks(blocks)
  self:check_documented(bare)
end

-- ---- all files ----------------------------------------------------------------------------------

local ROOT = "lua/ringlet/"
-- The order of a page; other files come behind, by name.
local ORDER = {
  "run", "task", "scope", "cancel", "errors", "time", "chan", "select", "sync", "map", "init",
  "net", "net_conn", "net_server", "buffer", "test",
}

local function lines_of_file(path)
  local list = {}
  for line in io.lines(path) do list[#list + 1] = line end
  return list
end

local function paths_in_order()
  local paths, at = {}, {}
  local pipe = assert(io.popen("find lua -name '*.lua' | LC_ALL=C sort"))
  for path in pipe:lines() do
    paths[#paths + 1] = path
    at[path] = #ORDER + #paths
  end
  pipe:close()
  for n, name in ipairs(ORDER) do at[ROOT .. name .. ".lua"] = n end
  table.sort(paths, function(a, b) return at[a] < at[b] end)
  return paths
end

-- The modules that are lists of what others have.
local LISTS = {"shared", "http", "metrics", "trace", "bpf", "init"}

-- The documented modules of the tree, the full names of the classes ({conn = "ringlet.conn"}), and
-- what is wrong with the comments, as a list of texts. Runs from the root of the tree.
function M.load()
  local modules, classes, problems = {}, {}, {}
  local exports = {}
  for _, name in ipairs(LISTS) do
    for file, names in pairs(M.exports_of(lines_of_file(ROOT .. name .. ".lua"))) do
      exports[file] = names
    end
  end
  for _, path in ipairs(paths_in_order()) do
    M.add_file(modules, path, lines_of_file(path), exports, problems)
  end
  for _, module in ipairs(modules) do
    for _, part in ipairs(module.parts) do
      if part.kind == "class" then classes[part.name] = "ringlet." .. part.name end
      for _, item in ipairs(part.items) do
        for _, field in ipairs(item.fields) do
          if field.of then classes[field.of] = "ringlet." .. field.of end
        end
      end
    end
  end
  return modules, classes, problems
end

return M
