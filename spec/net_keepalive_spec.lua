-- SPDX-License-Identifier: MIT
-- The kernel's keep-alive: dead peers are found within the bound.
local H = require "spec.helper"
local keepalive = require "ringlet.net_keepalive"
local net = require "ringlet.net"
local wire = require "spec.wire"

local function settings(t)
  local out = {}
  for _, option in ipairs(keepalive.settings(t)) do out[option[1]] = option[2] end
  return out
end

describe("keep-alive", function()
  it("asks each second by default, and gives up after five", function()
    local want = {keepalive = true, keepidle = 1, keepintvl = 1, keepcnt = 4, user_timeout = 5000}
    assert.same(want, settings(nil))
    assert.same(want, settings(true))
    assert.same(want, settings{})
  end)

  it("gives up after what was set", function()
    assert.same({keepalive = true, keepidle = 30, keepintvl = 5, keepcnt = 3, user_timeout = 45000},
      settings{idle = 30, interval = 5, count = 3})
    assert.equal(250, settings{timeout = 0.25}.user_timeout)
    assert.equal(0, settings{timeout = 0}.user_timeout)
    assert.same({keepalive = false, user_timeout = 0}, settings(false))
  end)
end)

H.both("conn:keepalive", function(it)
  it("sets it, and takes it back", function()
    local a, b = wire.pair()
    assert.is_true(a:keepalive())
    assert.is_true(a:keepalive{idle = 1, interval = 2, count = 127, timeout = 0.5})
    assert.is_true(b:keepalive(false))
    a:write "x"
    assert.equal("x", b:read(1))
    wire.close(a, b)
    assert.equal("ECLOSED", select(3, a:keepalive()))
  end)

  it("is checked", function()
    local a, b = wire.pair()
    H.raises_text("unknown option 'idel'", a.keepalive, a, {idel = 1})
    H.raises_text("idle", a.keepalive, a, {idle = 0.5})
    H.raises_text("interval", a.keepalive, a, {interval = 40000})
    H.raises_text("count", a.keepalive, a, {count = 128})
    H.raises_text("timeout", a.keepalive, a, {timeout = -1})
    H.raises_text("options must be a table", a.keepalive, a, 5)
    wire.close(a, b)
  end)

  it("is inherited from the listener of a server", function()
    for _, opts in ipairs{{keepalive = {idle = 2}}, {keepalive = false}} do
      local server = assert(net.serve(wire.ANY, print, {heartbeat = opts}))
      server:stop(0)
    end
  end)
end)

-- Two network namespaces with a cable between them: this script's, and one that lasts as long as a
-- `sleep` in it. In the other one a script has connections to here, and a listener. Then its end of
-- the cable goes down. Prints after how many seconds each connection failed, and how.
local CABLE = [[
local net = require "ringlet.net"

local function sh(command)
  local p = io.popen(command .. " 2>&1; echo $?")
  local text = p:read "*a"
  p:close()
  if text ~= "0\n" then
    print("unable: " .. text:gsub("%s+", " "))
    os.exit(0, true)
  end
end

local function lines_of(command)
  local p = io.popen(command)
  return p, p:read "*l"
end

local FAR = [=[
local rl = require "ringlet"
local net = require "ringlet.net"
rl.run(function()
  local listener, conns = assert(net.listen "10.77.0.2:7000"), {}
  rl.daemon(function() while true do conns[listener:accept()] = true end end)
  for port = 7001, 7003 do
    conns[assert(net.connect("10.77.0.1:" .. port, {timeout = 30}))] = true
  end
  io.stdout:write "ready\n"
  io.stdout:flush()
  rl.sleep(58)
end, {backend = "uring"})
]=]

sh "ip link set lo up && ip link add rl0 type veth peer name rl1"
sh "ip addr add 10.77.0.1/24 dev rl0 && ip link set rl0 up"
local keeper, pid = lines_of "exec unshare -n sh -c 'echo $$; exec sleep 59'"
local there = "nsenter -t " .. pid .. " -n "
sh("ip link set rl1 netns " .. pid)
sh(there .. "sh -c 'ip link set lo up && ip addr add 10.77.0.2/24 dev rl1 && ip link set rl1 up'")

local name = os.tmpname()
local f = assert(io.open(name, "w"))
f:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath), FAR)
f:close()

rl.run(function()
  local found, from = {}, rl.now()
  local function note(what, code)
    found[what] = ("%s %.2f"):format(code or "fine", rl.now() - from)
  end
  local function serve(port, what, heartbeat, chat)
    return assert(net.serve("10.77.0.1:" .. port, {
      on_open = function(conn) if chat then chat(conn) end end,
      on_data = function() end,
      on_close = function(_, _, code) note(what, code) end,
    }, {heartbeat = heartbeat}))
  end
  local function talk(conn) -- something is on its way when the cable goes
    rl.daemon(function() while conn:write "?" do rl.sleep(0.1) end end)
  end
  local servers = {
    serve(7001, "idle", true), serve(7002, "talking", true, talk), serve(7003, "off", nil),
  }
  local far, far_pid = lines_of("echo $$; exec " .. there .. arg[-1] .. " " .. name)
  assert(far:read "*l" == "ready")
  os.remove(name)
  local conn = assert(net.connect("10.77.0.2:7000", {timeout = 30}))
  conn:keepalive{idle = 1, interval = 1, count = 1}
  rl.daemon(function() note("client", select(3, conn:read())) end)
  rl.sleep(1.2)
  from = rl.now()
  sh(there .. "ip link set rl1 down")
  while rl.now() < from + 30 and not (found.idle and found.talking and found.client) do
    rl.sleep(0.1)
  end
  for _, what in ipairs {"client", "idle", "talking", "off"} do print(what, found[what]) end
  os.execute(("kill %s %s"):format(pid, far_pid))
  conn:abort()
  for i = 1, 3 do servers[i]:stop(0) end
  far:close()
  keeper:close()
end, {backend = "uring"})
]]

describe("a dead peer", function()
  it("is found within the bound, over a cable that was cut", function()
    local p = io.popen "unshare -n sh -c 'ip link set lo up && nsenter -V' 2>&1"
    local said = p:read "*a"
    p:close()
    if not said:find "^nsenter from" then
      return pending("no network namespaces here: " .. said)
    elseif H.missing.uring then
      return pending(H.missing.uring)
    end
    local out, code = H.script(CABLE, "unshare -n")
    if out:find "^unable" then
      return pending(out)
    end
    assert.equal(0, code, out)
    local function check(what, least)
      local why, after = out:match(what .. "\t(%S+) ([%d.]+)")
      assert.is_true(why == "ETIMEDOUT" or why == "EHOSTUNREACH", out) -- as routers have told
      assert.is_true(tonumber(after) >= least, out)
    end
    -- Not before, and not in hours: how long the kernel asks is in the settings above; a busy
    -- machine hears of the end when it gets to it.
    check("client", 0.5)
    check("idle", 3)
    check("talking", 3)
    assert.is_truthy(out:find("off\tnil", 1, true), out)
  end)
end)
