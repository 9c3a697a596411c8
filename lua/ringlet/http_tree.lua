-- SPDX-License-Identifier: MIT
-- http_tree: the patterns of a router as a tree, a node for each segment. What a route is, is the
-- router's matter.
--
-- A node has `literal` (nodes by segment), `param` and `wild` (a node each), and where a pattern
-- ends, `routes` by method and `names` of its parameters. A path that ends in "/" has an empty last
-- segment, which is a literal.

local query = require "ringlet.http_query"

local decode = query.decode
local find, sub = string.find, string.sub

local M = {}

-- Values of the parameters on the way to the node that is looked at. Nobody parks meanwhile.
local values = {}

local NONE = {}

function M.new()
  return {node = {literal = {}}, static = {}, list = {}}
end

-- ---- adding -------------------------------------------------------------------------------------

local function child_of(node, kind, name)
  local child = node[kind]
  if not child then
    child = {literal = {}, name = name}
    node[kind] = child
  end
  return child
end

local function check_name(names, name, pattern)
  if not name:find "^[%a_][%w_]*$" then
    return nil, ("pattern %s: %q is no name of a parameter"):format(pattern, name)
  end
  for _, other in ipairs(names) do
    if other == name then
      return nil, ("pattern %s: the parameter %s is there twice"):format(pattern, name)
    end
  end
  names[#names + 1] = name
  return name
end

-- The node of a parameter or a wildcard, or nil and why it is another's.
local function named_child(node, kind, name, pattern)
  local child = node[kind]
  if child.name ~= name then
    return nil, ("pattern %s: another one has %s where this has %s"):format(pattern, child.name,
      name)
  end
  return child
end

-- What a segment of a pattern is, and its name.
local function kind_of(segment)
  local first = segment:sub(1, 1)
  if first == ":" then
    return "param", segment:sub(2)
  elseif first == "*" then
    return "wild", segment:sub(2)
  end
  return "literal", decode(segment)
end

-- The segments of a pattern as {kind, name}, or nil and why it is none.
local function parse(pattern)
  local list, names = {}, {}
  for segment in (pattern:sub(2) .. "/"):gmatch "([^/]*)/" do
    local kind, name = kind_of(segment)
    if list[1] and list[#list].kind == "wild" then
      return nil, ("pattern %s: nothing can follow a wildcard"):format(pattern)
    elseif kind ~= "literal" then
      local ok, why = check_name(names, name, pattern)
      if not ok then
        return nil, why
      end
    end
    list[#list + 1] = {kind = kind, name = name}
  end
  return list, names
end

-- Go down the tree as far as it is, changing nothing: why the pattern cannot be added, or nil.
local function conflict(tree, list, pattern, method)
  local node = tree.node
  for _, segment in ipairs(list) do
    local child
    if segment.kind == "literal" then
      child = node.literal[segment.name]
    elseif node[segment.kind] then
      local why
      child, why = named_child(node, segment.kind, segment.name, pattern)
      if not child then
        return why
      end
    end
    if not child then
      return nil
    end
    node = child
  end
  if node.routes and node.routes[method] then
    return ("there is a route for %s %s"):format(method, pattern)
  end
end

local function grow(tree, list)
  local node = tree.node
  for _, segment in ipairs(list) do
    if segment.kind == "literal" then
      node = child_of(node.literal, segment.name)
    else
      node = child_of(node, segment.kind, segment.name)
    end
  end
  return node
end

-- Add a route: true, or nil and why not.
function M.add(tree, method, pattern, route)
  local list, names = parse(pattern)
  local why = not list and names or conflict(tree, list, pattern, method)
  if why then
    return nil, why
  end
  local node = grow(tree, list)
  node.routes, node.names = node.routes or {}, names
  node.routes[method] = route
  if #names == 0 then
    tree.static[pattern] = node
  end
  table.insert(tree.list, {method = method, pattern = pattern, route = route})
  return true
end

-- All routes as {method=, pattern=, route=}, sorted.
function M.routes(tree)
  local list = {}
  for i, r in ipairs(tree.list) do
    list[i] = r
  end
  table.sort(list, function(a, b)
    return a.pattern < b.pattern or a.pattern == b.pattern and a.method < b.method
  end)
  return list
end

-- ---- finding ------------------------------------------------------------------------------------

local function route_of(node, method)
  local routes = node.routes
  return routes and (routes[method] or method == "HEAD" and routes.GET or routes["*"])
end

-- Where the walk below may have to come back to: a node, where its segment begins, how many values
-- were known, and which of its children is next: the parameter or the wildcard.
local nodes, froms, knowns, kinds = {}, {}, {}, {}
local PARAM, WILD = 1, 2

local function keep(top, node, from, n, kind)
  nodes[top], froms[top], knowns[top], kinds[top] = node, from, n, kind
  return top
end

-- Down the tree, the most specific child first, and back when that led nowhere. Gives the route,
-- its node and where what its wildcard stands for begins, or nothing.
local function walk(node, path, method)
  local from, n, top, kind = 2, 0, 0, 0
  while true do
    local slash = find(path, "/", from, true)
    local segment = sub(path, from, slash and slash - 1 or -1)
    if find(segment, "%", 1, true) then
      segment = decode(segment)
    end
    local child = kind == 0 and node.literal[segment]
    local param = kind < WILD and segment ~= "" and node.param
    local wild = node.wild
    if child then
      if param then
        top = keep(top + 1, node, from, n, PARAM)
      elseif wild then
        top = keep(top + 1, node, from, n, WILD)
      end
    elseif param then
      if wild then
        top = keep(top + 1, node, from, n, WILD)
      end
      child, n = param, n + 1
      values[n] = segment
    end
    if child and slash then
      node, from, kind = child, slash + 1, 0
    else
      local last = child or wild
      local route = last and route_of(last, method)
      if route then
        return route, last, not child and from or nil
      elseif top == 0 then
        return
      end
      node, from, n, kind = nodes[top], froms[top], knowns[top], kinds[top]
      top = top - 1
    end
  end
end

-- An encoded slash stays what it is, or nobody could tell it from one that divides.
local function decode_rest(rest)
  if not find(rest, "%", 1, true) then
    return rest
  end
  return decode((rest:gsub("%%2[fF]", "%%252F")))
end

-- Tables that are made with their keys need not grow.
local function params_of(node)
  local names = node.names
  local n = #names
  if n == 1 then
    return {[names[1]] = values[1]}
  elseif n == 2 then
    return {[names[1]] = values[1], [names[2]] = values[2]}
  end
  local params = {}
  for i = 1, n do
    params[names[i]] = values[i]
  end
  return params
end

-- The route for a method and a path, its parameters, and what its wildcard stands for, as it came;
-- or nothing.
function M.find(tree, method, path)
  local node = tree.static[path]
  local route = node and route_of(node, method)
  if route then
    return route, {}
  end
  local from
  route, node, from = walk(tree.node, path, method)
  if not route then
    return
  elseif not from then
    return route, params_of(node)
  end
  local rest = sub(path, from)
  values[#node.names] = decode_rest(rest)
  return route, params_of(node), rest
end

local function collect(node, set)
  for method in pairs(node and node.routes or NONE) do
    set[method] = true
  end
end

local function walk_all(node, path, from, set)
  local slash = find(path, "/", from, true)
  local segment = decode(sub(path, from, slash and slash - 1 or -1))
  for _, child in ipairs{node.literal[segment] or NONE, segment ~= "" and node.param or NONE} do
    if slash and child ~= NONE then
      walk_all(child, path, slash + 1, set)
    else
      collect(child, set)
    end
  end
  collect(node.wild, set)
end

-- The methods of all routes that fit a path, or of all there are, as a set.
function M.methods(tree, path)
  local set = {}
  if path then
    walk_all(tree.node, path, 2, set)
  else
    for _, r in ipairs(tree.list) do
      set[r.method] = true
    end
  end
  set["*"] = nil
  return set
end

return M
