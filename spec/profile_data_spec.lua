-- SPDX-License-Identifier: MIT
-- What profiles are shown and saved as: against texts made by hand, a small reader of protobuf, and
-- the programs that read such files, where they are installed.
local profile_data = require "ringlet.profile_data"
local profile_flame = require "ringlet.profile_flame"
local H = require "spec.helper"

local LIB = debug.getinfo(require("ringlet.options").check, "S").source:gsub("^@", "")
  :gsub("options%.lua$", "")

-- name, file, line, defined of each frame
local FRAMES = {
  "main", "app.lua", 40, 30,
  "handle", "app.lua", 12, 10,
  "recv", LIB .. "chan.lua", 100, 98,
  "meet_receive", LIB .. "chan.lua", 80, 70,
  "yield", "[C]", -1, -1,
  "(chan receive)", "", -1, -1,
  "", "lib/<b> & \"c\".lua", 5, 4,
  "rep", "[C]", -1, -1,
}

local function part(shard)
  return {
    frames = FRAMES, sets = {{task = "t;1", type = "order", n = 3}}, shard = shard, seconds = 2,
    stacks = {
      {3, 3e9, 0, 2, 1},
      {1, 1e9, 1, 6, 5, 4, 3, 2, 1},
      {2, 2e9, 1, 8, 7, 1},
    },
  }
end

local function new(kind, ...)
  local p = profile_data.new(kind or "cpu", 1e9)
  p.seconds, p.time = 2, 1700000000.5
  for _, shard in ipairs {...} do
    p:add_part_(part(shard))
  end
  return p
end

local function has(command)
  return os.execute("command -v " .. command .. " >/dev/null 2>&1") == (H.jit and 0 or true)
end

local function output(command)
  local p = io.popen(command)
  local text = p:read "*a"
  p:close()
  return text
end

local function with_file(ending, text, fn)
  local name = os.tmpname()
  os.remove(name)
  local path = name .. ending
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  local ok, err = pcall(fn, path)
  os.remove(path)
  if not ok then error(err, 0) end
end

describe("profiles", function()
  it("sum up", function()
    local p = new("cpu", 1, 2)
    assert.same({12, 12e9}, {p:total()})
    assert.equal(6, #p.samples)
    assert.equal("ringlet.profile: CPU time, 12 s in 2 s on 2 shards", tostring(p))
    assert.equal("ringlet.profile: waiting, 0 ns in 2 s on 0 shards", tostring(new "offcpu"))
    assert.equal("ringlet.profile: allocations, 5.588 GiB in 2 s on 1 shard",
      tostring(new("alloc", 1)))
  end)

  it("are folded, with what the library does as one frame", function()
    assert.equal(table.concat({
      "main (app.lua:30);<b> & \"c\".lua:4;rep 2000000000",
      "main (app.lua:30);handle (app.lua:10) 3000000000",
      "main (app.lua:30);handle (app.lua:10);recv (chan.lua:98);(chan receive) 1000000000",
      "",
    }, "\n"), new("cpu", 1):folded())
    assert.equal(table.concat({
      "main (app.lua:30);<b> & \"c\".lua:4;rep 2000000000",
      "main (app.lua:30);handle (app.lua:10) 3000000000",
      "main (app.lua:30);handle (app.lua:10);recv (chan.lua:98);meet_receive (chan.lua:70);yield;"
        .. "(chan receive) 1000000000",
      "",
    }, "\n"), new("cpu", 1):folded{library = true})
  end)

  it("are folded by labels", function()
    local text = new("cpu", 1):folded{labels = {"task", "shard"}}
    assert.matches("task=t,1;shard=1;main %(app.lua:30%);<b>", text)
    assert.matches("task=nil;shard=1;main %(app.lua:30%);handle %(app.lua:10%) 3", text)
  end)

  it("are tables of functions", function()
    assert.equal([[
profile: CPU time, 6 s in 2 s on 1 shard
      flat  flat%   sum%        cum   cum%
       3 s  50.0%  50.0%        4 s  66.7%  handle (app.lua:10)
       2 s  33.3%  83.3%        2 s  33.3%  rep
       1 s  16.7% 100.0%        1 s  16.7%  (chan receive)
       0 ns   0.0% 100.0%        6 s 100.0%  main (app.lua:30)
       0 ns   0.0% 100.0%        2 s  33.3%  <b> & "c".lua:4
       0 ns   0.0% 100.0%        1 s  16.7%  recv (chan.lua:98)
]], (new("cpu", 1):text():gsub("  +0 ns", "       0 ns")))
    assert.equal(3, select(2, new("cpu", 1):text{n = 1}:gsub("\n", "")))
    local top = new("cpu", 1):top()
    assert.same({"handle", 3e9, 4e9}, {top[1].name, top[1].flat, top[1].cum})
  end)

  it("count a function once that calls itself", function()
    local p = profile_data.new("cpu", 1e9)
    p:add_part_{
      frames = {"f", "a.lua", 2, 1, "f", "a.lua", 3, 1}, sets = {}, shard = 1, seconds = 1,
      stacks = {{1, 1e9, 0, 1, 2, 2}},
    }
    assert.equal(1e9, p:top()[1].cum)
  end)

  it("are merged with others of their kind", function()
    local p, q = new("cpu", 1), new("cpu", 1, 2)
    assert.equal(p, p:merge(q))
    assert.same({18, 18e9}, {p:total()})
    assert.equal(6, #p.samples)
    assert.same({{shard = 1, seconds = 4}, {shard = 2, seconds = 2}}, p.shards)
    assert.equal(4, p.seconds)
    assert.same({12, 12e9}, {q:total()})
    assert.matches("cannot be added", H.raises(p.merge, p, new "alloc"))
    assert.matches("profile expected", H.raises(p.merge, p, {}))
  end)

  it("are saved by the name's end", function()
    for ending, name in pairs {pb = "pprof", folded = "folded", svg = "svg", txt = "text"} do
      local p = new("cpu", 1)
      with_file("." .. ending, "", function(path)
        assert.is_true(p:save(path))
        local f = io.open(path, "rb")
        assert.equal(p[name](p), f:read "*a")
        f:close()
      end)
    end
    assert.matches("must be called", H.raises(new().save, new(), "profile.png"))
    assert.equal("EIO", select(3, new():save "/nowhere/x.svg"))
  end)
end)

-- ---- pprof --------------------------------------------------------------------------------------

local function varint(s, at)
  local n, scale = 0, 1
  while true do
    local b = s:byte(at)
    n, scale, at = n + b % 128 * scale, scale * 128, at + 1
    if b < 128 then return n, at end
  end
end

-- {[field] = {value, ...}}
local function read(s)
  local fields, at = {}, 1
  while at <= #s do
    local key, value
    key, at = varint(s, at)
    value, at = varint(s, at)
    if key % 8 == 2 then
      value, at = s:sub(at, at + value - 1), at + value
    end
    local field = math.floor(key / 8)
    fields[field] = fields[field] or {}
    table.insert(fields[field], value)
  end
  return fields
end

local function packed(s)
  local list, at = {}, 1
  while at <= #s do
    list[#list + 1], at = varint(s, at)
  end
  return list
end

describe("profiles as pprof", function()
  it("are messages of profile.proto", function()
    local m = read(new("cpu", 1):pprof())
    local function text(i) return m[6][i + 1] end
    local function pair(bytes)
      local t = read(bytes)
      return text(t[1][1]) .. "/" .. text(t[2][1])
    end
    assert.equal("", text(0))
    assert.equal("samples/count", pair(m[1][1]))
    assert.equal("cpu/nanoseconds", pair(m[1][2]))
    assert.equal("cpu/nanoseconds", pair(m[11][1]))
    assert.equal("cpu", text(m[14][1]))
    assert.same({1e9, 2e9, 1700000000.5e9}, {m[12][1], m[10][1], m[9][1]})
    assert.equal("ringlet, shard 1: 2.000 s", text(m[13][1]))
    local functions, locations = {}, {}
    for i, bytes in ipairs(m[5]) do
      local f = read(bytes)
      assert.equal(i, f[1][1])
      functions[i] = ("%s %s %d"):format(text(f[2][1]), text(f[4][1]), f[5][1])
    end
    for i, bytes in ipairs(m[4]) do
      local l = read(bytes)
      local line = read(l[4][1])
      assert.equal(i, l[1][1])
      locations[i] = functions[line[1][1]] .. " " .. line[2][1]
    end
    local sample = read(m[2][3])
    local where = packed(sample[1][1])
    assert.same({2, 2e9}, packed(sample[2][1]))
    assert.equal("rep [C] 0 0", locations[where[1]])
    assert.equal("<b> & \"c\".lua:4 lib/<b> & \"c\".lua 4 5", locations[where[2]])
    assert.equal("main app.lua 30 40", locations[where[3]])
    local labels = {}
    for _, bytes in ipairs(sample[3]) do
      local l = read(bytes)
      labels[text(l[1][1])] = l[3] and l[3][1] or text(l[2][1])
    end
    assert.same({task = "t;1", type = "order", n = 3, shard = 1}, labels)
  end)

  it("are the same bytes for the same profile", function()
    assert.equal(new("alloc", 1, 2):pprof(), new("alloc", 1, 2):pprof())
  end)

  local go = output("ls -d /usr/lib/go-1.*/bin/go 2>/dev/null | sort -V | tail -n 1"):match "%S+"
    or has "go" and "go"

  it("are read by go tool pprof", function()
    if not go then
      pending "there is no go"
      return
    end
    with_file(".pb", new("cpu", 1, 2):pprof(), function(path)
      local text = output(("HOME=${HOME:-/tmp} timeout 120 %s tool pprof -raw %s 2>&1")
        :format(go, path))
      assert.matches("PeriodType: cpu nanoseconds\nPeriod: 1000000000\n", text)
      assert.matches("samples/count cpu/nanoseconds%[dflt%]", text)
      assert.matches("\n +2 2000000000: %d+ %d+ %d+ \n +task:%[t;1%] type:%[order%]\n", text)
      assert.matches("handle app.lua:12:0 s=10", text)
      text = output(("HOME=${HOME:-/tmp} timeout 120 %s tool pprof -top %s 2>&1"):format(go, path))
      assert.matches("\n +6s 50.00%% 50.00%% +8s 66.67%% +handle\n", text)
    end)
    with_file(".pb", new("alloc", 1):pprof(), function(path)
      local text = output(("HOME=${HOME:-/tmp} timeout 120 %s tool pprof -top %s 2>&1")
        :format(go, path))
      assert.matches("Type: alloc_space", text)
    end)
  end)
end)

-- ---- flame graphs -------------------------------------------------------------------------------

-- Does what a user would, and says what came of it.
local DRIVER = [[
<script><![CDATA[
(function () {
  var svg = document.documentElement, said = [];
  function key(k) {
    (document.activeElement || svg).dispatchEvent(
      new KeyboardEvent('keydown', {key: k, bubbles: true}));
  }
  function find(name) {
    return Array.prototype.filter.call(document.querySelectorAll('.f'), function (g) {
      return g.querySelector('text').dataset.t.indexOf(name) === 0;
    })[0];
  }
  function gone() { return document.querySelectorAll('.gone').length; }
  said.push('start ' + svg.dataset.zoom + ' ' + gone());
  find('handle').dispatchEvent(new MouseEvent('click', {bubbles: true}));
  said.push('click ' + svg.dataset.zoom + ' ' + gone());
  key('ArrowUp');
  key('Enter');
  said.push('keys ' + svg.dataset.zoom);
  key('Escape');
  said.push('escape ' + svg.dataset.zoom + ' ' + gone());
  key('/');
  said.push('slash ' + document.activeElement.id);
  document.getElementById('ask').value = 'REP';
  document.getElementById('ask').dispatchEvent(new Event('input'));
  said.push('search ' + document.querySelectorAll('.found').length + ' ' + svg.dataset.found);
  svg.setAttribute('data-said', said.join('; '));
}());
]].. "]]></script>\n</svg>"

describe("flame graphs", function()
  local function svg(opts)
    return new("cpu", 1):svg(opts)
  end

  it("have a box for each call, as wide as its part", function()
    local text, boxes = svg(), {}
    for x, w, depth, title in text:gmatch
      'data%-x="([%d.]+)" data%-w="([%d.]+)" data%-d="(%d+)"><title>([^<]*)</title>' do
      boxes[#boxes + 1] = ("%s %.3f %.3f %s"):format(depth, x, w, title)
    end
    assert.same({
      "0 0.000 1.000 all: 6 s, 100.0%",
      "1 0.000 1.000 main (app.lua:30): 6 s, 100.0%",
      '2 0.000 0.333 &lt;b&gt; &amp; &quot;c&quot;.lua:4: 2 s, 33.3%',
      "3 0.000 0.333 rep: 2 s, 33.3%",
      "2 0.333 0.667 handle (app.lua:10): 4 s, 66.7%, 3 s of its own",
      "3 0.333 0.167 recv (chan.lua:98): 1 s, 16.7%",
      "4 0.333 0.167 (chan receive): 1 s, 16.7%",
    }, boxes)
  end)

  it("ask for nothing outside", function()
    local text = svg():gsub('xmlns="[^"]*"', "")
    for _, what in ipairs {"https?:", "href", "src=", "@import", "url%(", "fetch", "XMLHttp"} do
      assert.is_nil(text:find(what), what)
    end
  end)

  it("have a title, and frames that can be reached by keyboard", function()
    local text = svg{title = "<orders>"}
    assert.matches('aria%-label="&lt;orders&gt;">\n<title>&lt;orders&gt;</title>', text)
    assert.equal(7, select(2, text:gsub('tabindex="%-1" role="treeitem"', "")))
  end)

  it("are drawn of nothing, too", function()
    assert.matches("</svg>\n$", new("cpu"):svg())
  end)

  it("take any text", function()
    local escaped = profile_flame.escaped
    assert.equal("a&lt;b&gt;&amp;&quot;", escaped 'a<b>&"')
    assert.equal("?x?\195\188?", escaped "\0x\27\195\188\127")
    assert.equal("\226\130\172\240\159\152\128", escaped "\226\130\172\240\159\152\128")
    assert.equal("?a??b????c", escaped "\255a\192\128b\237\160\128\194c")
    assert.equal("?\195\188??", escaped "\128\195\188\226\130")
  end)

  it("are well-formed", function()
    if not has "xmllint" then
      pending "there is no xmllint"
      return
    end
    with_file(".svg", svg{title = "<&>\1\255"}, function(path)
      assert.equal("", output("xmllint --noout " .. path .. " 2>&1"))
    end)
  end)

  it("zoom and search in a browser, by mouse and by keyboard", function()
    local browser = has "chromium" and "chromium" or has "google-chrome" and "google-chrome"
    if not browser then
      pending "there is no Chromium"
      return
    end
    local text = svg():gsub("</svg>%s*$", function() return DRIVER end)
    with_file(".svg", text, function(path)
      local dom = output(("timeout 120 %s --headless --no-sandbox --disable-gpu "
        .. "--user-data-dir=%s.d --dump-dom file://%s 2>/dev/null; rm -rf %s.d")
        :format(browser, path, path, path))
      assert.equal("start all 0; click handle (app.lua:10) 2; keys recv (chan.lua:98); "
        .. "escape all 0; slash ask; search 1 33.3", dom:match 'data%-said="([^"]*)"')
    end)
  end)
end)
