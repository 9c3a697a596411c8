-- SPDX-License-Identifier: MIT
-- wakeup: what the specs and benches of bpf.wakeup share: segments and frames as bytes, running the
-- programs on them (BPF_PROG_TEST_RUN), and the classifier once more, in plain Lua.

local parts = require "ringlet.bpf_wakeup_part"

local M = {}

local char, floor = string.char, math.floor

local function u16(n)
  return char(floor(n / 256) % 256, n % 256)
end

-- ---- bytes --------------------------------------------------------------------------------------

-- A TCP header, with `words` of 4 bytes.
local function tcp(from, to, words)
  return u16(from) .. u16(to) .. ("\0"):rep(8) .. char(words * 16, 0x18) .. ("\0"):rep(6)
    .. ("\1"):rep((words - 5) * 4)
end

-- What a socket filter is run on: the test run takes a link layer's header off.
function M.segment(payload, port, words)
  return ("\0"):rep(14) .. tcp(40000, port or 8080, words or 5) .. payload
end

local function ip4(text)
  local a, b, c, d = text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  return char(a, b, c, d)
end

-- An Ethernet frame: {payload =, from =, to =, from_port =, port =, udp =, v6 =, tags =, options =
-- words of IP options, extensions = headers of IPv6, fragment =, len = what the IP header tells}.
function M.frame(o)
  local payload, port, from_port = o.payload or "", o.port or 8080, o.from_port or 40000
  local transport = tcp(from_port, port, o.words or 5)
  if o.udp then
    transport = u16(from_port) .. u16(port) .. u16(8 + #payload) .. "\0\0"
  end
  local protocol, packet = o.udp and 17 or 6, transport .. payload
  local kind = o.v6 and u16(0x86DD) or u16(0x0800)
  if o.v6 then
    local extensions = ""
    for _ = 1, o.extensions or 0 do
      extensions = char(protocol, 0) .. ("\0"):rep(6) .. extensions
      protocol = 0
    end
    packet = extensions .. packet
    packet = "\96\0\0\0" .. u16(o.len or #packet) .. char(protocol, 64) .. ("\0"):rep(15) .. "\1"
      .. ("\0"):rep(15) .. "\2" .. packet
  else
    local words = 5 + (o.options or 0)
    packet = char(0x40 + words, 0) .. u16(o.len or words * 4 + #packet) .. "\0\0"
      .. u16(o.fragment or 0) .. char(64, protocol) .. "\0\0" .. ip4(o.from or "10.0.0.1")
      .. ip4(o.to or "10.0.0.2") .. ("\1"):rep((words - 5) * 4) .. packet
  end
  for i = 1, o.tags or 0 do
    packet, kind = u16(i) .. kind .. packet, u16(0x8100)
  end
  return ("\2"):rep(6) .. ("\3"):rep(6) .. kind .. packet .. (o.padding or "")
end

-- ---- running ------------------------------------------------------------------------------------

-- Its maps, by their names.
function M.maps(w)
  return parts.here(w.config).maps
end

-- What is counted of a shard.
function M.counts(w, shard)
  local sums = {}
  for _, of_cpu in ipairs(M.maps(w).counts:get((shard or 1) - 1)) do
    for name, n in pairs(of_cpu) do
      sums[name] = (sums[name] or 0) + n
    end
  end
  return sums
end

local function program(w)
  return parts.here(w.config).object:program "wakeup"
end

-- Run the socket filter on bytes; what it returned.
function M.run(w, bytes, times)
  return assert(program(w):run{data = bytes, repeat_ = times})
end

-- What a payload is taken for: its class and whether it begins a request. The filter keeps it
-- whole.
function M.classify(w, payload, port, words)
  local before = M.counts(w)
  assert(M.run(w, M.segment(payload, port, words)) == -1, "a segment was cut")
  local after = M.counts(w)
  local class
  for _, name in ipairs{"critical", "background", "normal"} do
    if after[name] > before[name] then
      assert(not class and after[name] == before[name] + 1, "counted twice")
      class = name
    end
  end
  if after.over_budget > before.over_budget then
    class = "over"
  end
  assert(after.segments - before.segments == (payload ~= "" and 1 or 0), "segments")
  return class, after.heads > before.heads
end

-- ---- the classifier in plain Lua ----------------------------------------------------------------

-- routes: {["/pay"] = class}. The same as bpf/wakeup_classify.h: its class, nil when it is none of
-- anything, and whether it begins a request.
function M.reference(payload, port, routes, ports)
  local method, rest = payload:match "^([A-Z]+) (/.*)$"
  if not method then
    method, rest = payload:match "^([A-Z]+) (/[%z\1-\255]*)$"
  end
  local is_head = method ~= nil and #method <= 8 and #payload >= 9
  local class, best = nil, -1
  if is_head then
    local seen = rest:sub(1, 64)
    for path, name in pairs(routes) do
      local prefix = path:match "^(.*)%*$"
      local exact_end = seen:sub(#path + 1, #path + 1)
      local fits = prefix and seen:sub(1, #prefix) == prefix
        or not prefix and seen:sub(1, #path) == path and (exact_end == " " or exact_end == "?")
      local len = prefix and #prefix or #path + 1
      if fits and len > best then
        class, best = name, len
      end
    end
  end
  class = class or ports[port]
  return class or (is_head and "normal" or nil), is_head
end

-- ---- hostile payloads ---------------------------------------------------------------------------

local METHODS = {"GET", "POST", "HEAD", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "A", "TOOLONGAA",
  "get", "G\255T", ""}
local ENDS = {"", " ", "?", "/x ", "x", "#", "*"}
local SPACES = {" ", " ", " ", " ", "  ", "\t", "", "\0"}

local function noise(random, n)
  local bytes = {}
  for i = 1, n do bytes[i] = char(random(0, 255)) end
  return table.concat(bytes)
end

-- One payload of many kinds: random(a, b) decides.
function M.payload(random, paths)
  local kind = random(1, 10)
  if kind == 1 then
    return noise(random, random(0, 200))
  end
  local text = METHODS[random(1, #METHODS)] .. SPACES[random(1, #SPACES)]
    .. paths[random(1, #paths)]:gsub("%*$", "") .. ENDS[random(1, #ENDS)]
    .. (kind < 6 and "HTTP/1.1\r\nHost: a\r\n\r\n" or noise(random, random(0, 100)))
  if kind == 2 then
    text = text:sub(1, random(0, #text)) -- split
  elseif kind == 3 then
    local at = random(1, #text)
    text = text:sub(1, at - 1) .. char(random(0, 255)) .. text:sub(at + 1)
  elseif kind == 4 then
    text = text .. ("z"):rep(random(0, 2500))
  end
  return text
end

return M
