-- SPDX-License-Identifier: MIT
-- Handlers by method and path.
local H = require "spec.helper"
local http = require "ringlet.http"
local http_tree = require "ringlet.http_tree"
local net = require "ringlet.net"
local query = require "ringlet.http_query"

-- A request and a response as routers use them, without a server.
local function fake(method, target)
  local path, text = target:match "^([^?]*)%??(.*)$"
  local req = {method = method, target = target, path = path,
    query = target:find("?", 1, true) and text or nil}
  local res = {fields = {}}
  function res:header(name, value)
    self.fields[name:lower()] = value
    return self
  end
  function res:send(status, body)
    self.status, self.body = status, body
    return true
  end
  return req, res
end

local function ask(router, method, target)
  local req, res = fake(method, target)
  router(req, res)
  return res, req
end

local function say(text)
  return function(_, res) res:send(200, text) end
end

-- What a router answers: "200 text", "405 GET, HEAD, OPTIONS", "308 /x" or "404".
local function told(router, method, target)
  local res = ask(router, method, target)
  local more = res.body or res.fields.location or res.fields.allow
  return tostring(res.status) .. (more and " " .. more or "")
end

describe("a router", function()
  it("finds by method and path", function()
    local r = http.router()
    r:get("/", say "root"):get("/users", say "list"):post("/users", say "new")
    r:get("/users/:id", say "one"):put("/users/:id", say "change"):delete("/users/:id", say "gone")
    r:patch("/users/:id", say "patch"):get("/users/:id/posts/:post", say "post")
    r:handle("PROPFIND", "/users", say "props")
    assert.equal("200 root", told(r, "GET", "/"))
    assert.equal("200 list", told(r, "GET", "/users"))
    assert.equal("200 new", told(r, "POST", "/users"))
    assert.equal("200 one", told(r, "GET", "/users/7"))
    assert.equal("200 change", told(r, "PUT", "/users/7"))
    assert.equal("200 gone", told(r, "DELETE", "/users/7"))
    assert.equal("200 patch", told(r, "PATCH", "/users/7"))
    assert.equal("200 post", told(r, "GET", "/users/7/posts/8"))
    assert.equal("200 props", told(r, "PROPFIND", "/users"))
    assert.equal("404", told(r, "GET", "/user"))
    assert.equal("404", told(r, "GET", "/users/7/posts"))
    assert.equal("404", told(r, "GET", "/users//posts/8"))
    assert.equal("404", told(r, "GET", "/USERS"))
    assert.same({routes = 9, requests = 13, not_found = 4, not_allowed = 0}, r:stats())
    assert.equal("ringlet.http_router: 9 routes", tostring(r))
  end)

  it("gives parameters, decoded segment by segment", function()
    local r = http.router()
    local seen
    r:get("/a/:x/b/:y_2", function(req) seen = req end)
    r:get("/files/*path", function(req) seen = req end)
    r:get("/plain", function(req) seen = req end)
    local function params(target)
      seen = nil
      ask(r, "GET", target)
      return seen and seen.params, seen and seen.rest
    end
    assert.same({x = "1", y_2 = "two"}, (params "/a/1/b/two"))
    assert.same({x = "a/b", y_2 = "c d%"}, (params "/a/a%2Fb/b/c%20d%25"))
    assert.same({x = "\0", y_2 = "é"}, (params "/a/%00/b/%c3%A9"))
    assert.same({x = "a+b", y_2 = ".."}, (params "/a/a+b/b/%2e%2E"))
    assert.same({}, (params "/plain"))
    local path, rest = params "/files/x%20y/a%2fb/"
    assert.same({path = "x y/a%2Fb/"}, path)
    assert.equal("x%20y/a%2fb/", rest)
    path, rest = params "/files/"
    assert.same({path = ""}, path)
    assert.equal("", rest)
    assert.is_nil((params "/a//b/two"))
  end)

  it("refuses paths with a broken encoding", function()
    local r = http.router()
    r:get("/a/:x", say "x"):get("/*rest", say "rest")
    for _, path in ipairs{"/a/%", "/a/%2", "/a/%zz", "/a/%2g", "/%%20"} do
      assert.equal("400", told(r, "GET", path), path)
    end
  end)

  it("takes an encoded letter for the letter", function()
    local r = http.router()
    r:get("/users/new", say "new"):get("/caf%C3%A9", say "café")
    assert.equal("200 new", told(r, "GET", "/%75sers/n%65w"))
    assert.equal("200 café", told(r, "GET", "/caf%c3%a9"))
    assert.equal("200 café", told(r, "GET", "/caf\195\169"))
    assert.equal("404", told(r, "GET", "/users%2fnew"))
  end)

  it("prefers literals to parameters to wildcards, in whatever order they came", function()
    local patterns = {"/a/b/c", "/a/:x/c", "/a/:x/:y", "/a/b/:y", "/a/*r", "/*r", "/:x/b/c",
      "/a/b/"}
    local want = {
      ["/a/b/c"] = "/a/b/c", ["/a/z/c"] = "/a/:x/c", ["/a/z/z"] = "/a/:x/:y",
      ["/a/b/z"] = "/a/b/:y",
      ["/a/z"] = "/a/*r", ["/a/z/z/z"] = "/a/*r", ["/z/b/c"] = "/:x/b/c", ["/z/b/z"] = "/*r",
      ["/z"] = "/*r", ["/a/b/"] = "/a/b/", ["/a/z/"] = "/a/*r", ["/"] = "/*r",
      ["/a/"] = "/a/*r",
      ["/a"] = "/*r", ["/a/b"] = "/a/*r", ["/a/b/c/d"] = "/a/*r",
    }
    for first = 1, #patterns do
      local r = http.router()
      for i = 0, #patterns - 1 do
        local pattern = patterns[(first + i - 1) % #patterns + 1]
        r:get(pattern, say(pattern))
      end
      for path, pattern in pairs(want) do
        assert.equal("200 " .. pattern, told(r, "GET", path), path)
      end
    end
  end)

  it("goes back when the more specific pattern has not the method", function()
    local r = http.router()
    r:get("/users/me", say "me"):post("/users/:id", say "post"):any("/users/*rest", say "any")
    assert.equal("200 me", told(r, "GET", "/users/me"))
    assert.equal("200 post", told(r, "POST", "/users/me"))
    assert.equal("200 any", told(r, "DELETE", "/users/me"))
  end)

  it("raises on patterns that are none, or are there", function()
    local r = http.router()
    r:get("/users/:id", say ""):get("/files/*rest", say ""):get("/x", say "")
    H.raises_text("there is a route for GET /x", r.get, r, "/x", say "")
    H.raises_text("another one has id where this has name", r.get, r, "/users/:name/x", say "")
    H.raises_text("another one has rest where this has all", r.post, r, "/files/*all", say "")
    H.raises_text("nothing can follow a wildcard", r.get, r, "/a/*rest/b", say "")
    H.raises_text("is no name of a parameter", r.get, r, "/a/:", say "")
    H.raises_text("is no name of a parameter", r.get, r, "/a/*", say "")
    H.raises_text("is no name of a parameter", r.get, r, "/a/:b-c", say "")
    H.raises_text("the parameter a is there twice", r.get, r, "/:a/:a", say "")
    H.raises_text('begins with "/"', r.get, r, "x", say "")
    H.raises_text('begins with "/"', r.get, r, nil, say "")
    H.raises_text("a handler expected", r.get, r, "/y")
    H.raises_text("a handler expected", r.get, r, "/y", {})
    H.raises_text("a method expected", r.handle, r, "", "/y", say "")
    H.raises_text("a method expected", r.handle, r, "a b", "/y", say "")
    H.raises_text("a handler expected", r.use, r, "x")
    H.raises_text("unknown option", http.router, {slashes = ""})
    H.raises_text("must be 'redirect' or 'strict'", http.router, {slash = "no"})
    for _, prefix in ipairs{"", "/", "api", "/api/", "/api/*x"} do
      H.raises_text("a prefix is a path", r.group, r, prefix)
      H.raises_text("a prefix is a path", r.mount, r, prefix, say "")
    end
    assert.equal(3, #r:routes())
    local _, err = pcall(function() r:get("/x", say "") end)
    assert.matches("http_router_spec", err)
  end)

  it("answers HEAD through GET, OPTIONS and other methods with what there is", function()
    local r = http.router()
    r:get("/a", say "get"):post("/a", say "post"):put("/b", say "put"):head("/c", say "head")
    r:get("/c", say "get"):options("/d", say "mine"):any("/e", say "any"):get("/f/:x", say "f")
    r:delete("/f/*rest", say "f")
    assert.equal("200 get", told(r, "HEAD", "/a"))
    assert.equal("200 head", told(r, "HEAD", "/c"))
    assert.equal("200 any", told(r, "HEAD", "/e"))
    assert.equal("405 GET, HEAD, OPTIONS, POST", told(r, "DELETE", "/a"))
    assert.equal("204 GET, HEAD, OPTIONS, POST", told(r, "OPTIONS", "/a"))
    assert.equal("405 OPTIONS, PUT", told(r, "HEAD", "/b"))
    assert.equal("200 mine", told(r, "OPTIONS", "/d"))
    assert.equal("200 any", told(r, "OPTIONS", "/e"))
    assert.equal("405 DELETE, GET, HEAD, OPTIONS", told(r, "POST", "/f/1"))
    assert.equal("405 DELETE, OPTIONS", told(r, "POST", "/f/1/2"))
    assert.equal("404", told(r, "OPTIONS", "/none"))
    assert.equal("204 DELETE, GET, HEAD, OPTIONS, POST, PUT", told(r, "OPTIONS", "*"))
    assert.equal(4, r:stats().not_allowed)
  end)

  it("takes an empty path for the root", function()
    local r = http.router()
    r:get("/", say "root")
    assert.equal("200 root", told(r, "GET", ""))
  end)

  it("redirects to the path with a slash, or without", function()
    local r = http.router()
    r:get("/a", say "a"):get("/b/", say "b"):post("/a", say "a"):get("/c/*rest", say "c")
    assert.equal("308 /a", told(r, "GET", "/a/"))
    assert.equal("308 /a?x=1&y", told(r, "GET", "/a/?x=1&y"))
    assert.equal("308 /b/", told(r, "GET", "/b"))
    assert.equal("308 /b/", told(r, "HEAD", "/b"))
    assert.equal("308 /a", told(r, "POST", "/a/"))
    assert.equal("308 /c/", told(r, "GET", "/c"))
    assert.equal("404", told(r, "PUT", "/a/"))
    assert.equal("404", told(r, "GET", "/a//"))
    local strict = http.router{slash = "strict"}
    strict:get("/a", say "a")
    assert.equal("404", told(strict, "GET", "/a/"))
  end)

  it("redirects to no other host", function()
    local r = http.router()
    r:get("/:a/:b/", say "x"):get("//evil.example/", say "x")
    for _, path in ipairs{"//evil.example", "//evil.example/x", "///evil.example"} do
      assert.equal("404", told(r, "GET", path), path)
    end
  end)

  it("has hooks for what it does not find", function()
    local r = http.router()
    r:get("/a", say "a")
    function r.not_found(_, res) res:send(404, "nothing here") end
    function r.method_not_allowed(req, res) res:send(405, "no " .. req.method) end
    assert.equal("404 nothing here", told(r, "GET", "/b"))
    local res = ask(r, "POST", "/a")
    assert.equal("no POST", res.body)
    assert.equal("GET, HEAD, OPTIONS", res.fields.allow)
  end)

  it("has middleware, around everything, in order", function()
    local r = http.router()
    local log
    local function mark(name)
      return function(req, res, go_on)
        log[#log + 1] = name
        local result = go_on()
        log[#log + 1] = "-" .. name
        assert(req.method and res.header)
        return result
      end
    end
    r:use(mark "a")
    r:get("/x", function(_, res) log[#log + 1] = "x" res:send(200) return "result" end)
    local g = r:group("/g", function(group)
      group:use(mark "g"):get("/y", say "y"):get("/", say "top")
    end)
    r:use(mark "b")
    local function order(target)
      log = {}
      ask(r, "GET", target)
      return table.concat(log, " ")
    end
    assert.equal("a b x -b -a", order "/x")
    assert.equal("a b g -g -b -a", order "/g/y")
    assert.equal("a b -b -a", order "/none")
    g:use(mark "h")
    assert.equal("a b g h -h -g -b -a", order "/g/y")
    assert.equal("200 top", told(r, "GET", "/g"))
    local req, res = fake("GET", "/x")
    assert.equal("result", r(req, res))
    r:use(function(_, answer) answer:send(401) end)
    assert.equal("401", told(r, "GET", "/x"))
    assert.equal("401", told(r, "GET", "/none"))
  end)

  it("mounts routers with their middleware", function()
    local api, r = http.router(), http.router()
    api:use(function(_, res, go_on) res:header("X-Api", "1") return go_on() end)
    api:get("/", say "top"):get("/users/:id", function(req, res) res:send(200, req.params.id) end)
    api:group("/v2"):get("/z", say "z")
    r:use(function(_, res, go_on) res:header("X-All", "1") return go_on() end)
    r:get("/own", say "own")
    r:mount("/api", api)
    r:group("/deep"):mount("/er", api)
    assert.equal("200 7", told(r, "GET", "/api/users/7"))
    assert.equal("200 top", told(r, "GET", "/api"))
    assert.equal("200 z", told(r, "GET", "/api/v2/z"))
    assert.equal("200 8", told(r, "GET", "/deep/er/users/8"))
    local res = ask(r, "GET", "/api/users/7")
    assert.same({["x-api"] = "1", ["x-all"] = "1"}, res.fields)
    assert.same({["x-all"] = "1"}, ask(r, "GET", "/own").fields)
    assert.equal("405 GET, HEAD, OPTIONS", told(r, "POST", "/api/users/7"))
    H.raises_text("cannot be mounted on itself", r.mount, r, "/self", r)
    H.raises_text("there is a route for GET /api", r.mount, r, "/api", api)
  end)

  it("mounts any handler, which sees the rest of the path", function()
    local r = http.router()
    local handler = setmetatable({}, {__call = function(_, req, res)
      res:send(200, req.method .. " " .. req.rest)
    end})
    r:mount("/m", handler)
    assert.equal("200 PUT a/b%2F", told(r, "PUT", "/m/a/b%2F"))
    assert.equal("200 GET ", told(r, "GET", "/m/"))
    assert.equal("308 /m/", told(r, "GET", "/m"))
  end)

  it("lists its routes", function()
    local r = http.router()
    r:post("/b", say ""):get("/b", say ""):group("/a"):get("/:x", say "")
    assert.same({{method = "GET", pattern = "/a/:x"}, {method = "GET", pattern = "/b"},
      {method = "POST", pattern = "/b"}}, r:routes())
  end)
end)

-- ---- against a plain reference ------------------------------------------------------------------

local SEGMENTS = {"a", "b", "c", ""}
local SEED = 20240607

local function segments_of(path)
  local list = {}
  for segment in (path:sub(2) .. "/"):gmatch "([^/]*)/" do list[#list + 1] = segment end
  return list
end

-- How a pattern fits a path: nil, or a text that is less for a more specific one.
local function fit(pattern, path)
  local want, got, rank = segments_of(pattern), segments_of(path), {}
  for i, segment in ipairs(want) do
    local first = segment:sub(1, 1)
    if first == "*" then
      return got[i] and table.concat(rank) .. "3"
    elseif not got[i] or first == ":" and got[i] == "" or first ~= ":" and segment ~= got[i] then
      return nil
    end
    rank[i] = first == ":" and "2" or "1"
  end
  return #want == #got and table.concat(rank) or nil
end

local function reference(routes, method, path)
  local best, found
  for _, r in ipairs(routes) do
    local rank = r.method == method and fit(r.pattern, path)
    if rank and (not best or rank < best) then
      best, found = rank, r.pattern
    end
  end
  return found
end

local function random_pattern(random)
  local list, n = {}, random(4)
  for i = 1, n do
    local pick = random(8)
    list[i] = pick == 8 and i == n and "*r" or pick >= 6 and ":p" .. i
      or SEGMENTS[random(i == n and 4 or 3)]
  end
  return "/" .. table.concat(list, "/")
end

describe("the tree of a router", function()
  it("finds what a search through all patterns finds", function()
    local state = SEED
    local function random(n)
      state = (state * 16807) % 2147483647
      return state % n + 1
    end
    for round = 1, H.rounds(400, 20) do
      local tree, routes = http_tree.new(), {}
      for _ = 1, 12 do
        local method, pattern = random(2) == 1 and "GET" or "POST", random_pattern(random)
        if http_tree.add(tree, method, pattern, pattern) then
          routes[#routes + 1] = {method = method, pattern = pattern}
        end
      end
      for _ = 1, 250 do
        local list = {}
        for i = 1, random(5) do list[i] = SEGMENTS[random(4)] end
        local path = "/" .. table.concat(list, "/")
        local want, got = reference(routes, "GET", path), (http_tree.find(tree, "GET", path))
        if want ~= got then
          error(("seed %d, round %d: %s is %s, not %s"):format(SEED, round, path, tostring(got),
            tostring(want)))
        end
      end
    end
  end)
end)

-- ---- parameters of queries and forms ------------------------------------------------------------

describe("the parser of parameters", function()
  it("decodes as the URL standard says", function()
    local function args(text) return query.parse(text, 10) end
    assert.same({}, args "")
    assert.same({a = "1", b = "2"}, args "a=1&b=2")
    assert.same({a = {"1", "2", "3"}}, args "a=1&a=2&a=3")
    assert.same({a = "", b = ""}, args "a&b=&&")
    assert.same({["a b"] = "c d", ["&"] = "=+"}, args "a+b=c%20d&%26=%3D%2b")
    assert.same({a = "b=c"}, args "a=b=c")
    assert.same({[""] = "x"}, args "=x")
    assert.same({a = "%", b = "%zz", c = "%4"}, args "a=%&b=%zz&c=%4")
    assert.same({a = "\0\255"}, args "a=%00%fF")
  end)

  it("has a limit", function()
    assert.is_table(query.parse("a&b&c", 3))
    local _, msg, code = query.parse("a&b&c&d", 3)
    assert.equal("EMSGSIZE", code)
    assert.equal("EMSGSIZE: more than 3 parameters", msg)
  end)
end)

-- ---- in a server --------------------------------------------------------------------------------

local function fetch(server, text)
  local conn = assert(net.connect(server:addr()))
  conn:write(text)
  local answer = conn:read_all()
  conn:close()
  return (answer:gsub("\r\nDate: [^\r]*", ""))
end

local function request(method, target, fields, body)
  return ("%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n%s"):format(method, target,
    fields or "", body or "")
end

local FORM = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"

H.both("a router that is a server's handler", function(it)
  it("answers", function()
    local r = http.router()
    r:get("/hi/:name", function(req, res) res:send(200, "hi " .. req.params.name) end)
    r:options("/own", say "mine")
    local server = assert(http.serve("127.0.0.1:0", r))
    local head = "HTTP/1.1 %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n"
    local function got(method, target)
      return fetch(server, request(method, target))
    end
    assert.equal(head:format("200 OK", 6, "") .. "hi you", got("GET", "/hi/you"))
    assert.equal(head:format("200 OK", 6, ""), got("HEAD", "/hi/you"))
    assert.equal(head:format("404 Not Found", 0, ""), got("GET", "/ho"))
    assert.matches("^HTTP/1.1 405 .*\r\nAllow: GET, HEAD, OPTIONS\r\n", got("POST", "/hi/you"))
    assert.matches("^HTTP/1.1 204 .*\r\nAllow: GET, HEAD, OPTIONS\r\n", got("OPTIONS", "*"))
    assert.matches("^HTTP/1.1 308 .*\r\nLocation: /hi/you%?a\r\n", got("GET", "/hi/you/?a"))
    assert.equal("hi a", got("GET", "http://b/hi/a"):match "hi a$")
    server:stop(1)
  end)

  it("gives the parameters of queries and forms", function()
    local r, seen = http.router(), nil
    r:get("/", function(req, res) seen = H.pack(req:args(3)) res:send(204) end)
    r:post("/", function(req, res) seen = H.pack(req:form(20)) res:send(204) end)
    local server = assert(http.serve("127.0.0.1:0", r))
    fetch(server, request("GET", "/?a=1&b=%20&a=2"))
    assert.same({a = {"1", "2"}, b = " "}, seen[1])
    fetch(server, request("GET", "/"))
    assert.same({}, seen[1])
    fetch(server, request("GET", "/?a&b&c&d"))
    assert.equal("EMSGSIZE", seen[3])
    fetch(server, request("POST", "/", FORM .. "Content-Length: 7\r\n", "a=1&b=+"))
    assert.same({a = "1", b = " "}, seen[1])
    fetch(server, request("POST", "/", FORM .. "Content-Length: 21\r\n", ("x"):rep(21)))
    assert.equal("EMSGSIZE", seen[3])
    fetch(server, request("POST", "/", "Content-Type: text/plain\r\nContent-Length: 1\r\n", "a"))
    assert.equal("EINVAL", seen[3])
    server:stop(1)
  end)
end)

H.on("uring", "a router of a server on two shards", function(it)
  it("answers on both", function()
    local r = http.router()
    r:use(function(_, res, go_on) res:header("X-Use", "1") return go_on() end)
    r:get("/shard/:x", function(req, res)
      res:send(200, req.params.x .. require "ringlet".shard())
    end)
    local opts = {shards = "all", accept = "handover", placement = "turn"}
    local server, seen = assert(http.serve("127.0.0.1:0", r, opts)), {}
    H.eventually("both have answered", function() -- none gets any while it is stalled
      local answer = fetch(server, request("GET", "/shard/n"))
      assert.matches("X%-Use: 1", answer)
      seen[answer:match "n%d$"] = true
      return seen.n1 and seen.n2
    end)
    assert.same({n1 = true, n2 = true}, seen)
    server:stop(1)
  end, {shards = 2})
end)
