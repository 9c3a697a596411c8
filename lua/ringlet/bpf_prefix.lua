-- SPDX-License-Identifier: MIT
-- bpf_prefix: addresses and networks as BPF programs have them: 16 bytes in the network's order,
-- those of IPv4 as ::ffff:a.b.c.d, so that one trie has both.

local core = require "ringlet.core"

local M = {}

local MAPPED = ("\0"):rep(10) .. "\255\255"

local function ip4(text)
  local a, b, c, d = text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  return string.char(a, b, c, d)
end

-- The groups of a part of an IPv6 address, two bytes each.
local function groups(text)
  local out = {}
  for group in text:gmatch "[^:]+" do
    local n = tonumber(group, 16)
    out[#out + 1] = n and string.char(math.floor(n / 256), n % 256) or ip4(group)
  end
  return table.concat(out)
end

local function ip6(text)
  local head, tail = text:match "^(.-)::(.*)$"
  if not head then
    return groups(text)
  end
  head, tail = groups(head), groups(tail)
  return head .. ("\0"):rep(16 - #head - #tail) .. tail
end

--- The bytes of an address: 16, and whether it is one of IPv4; nil: the text is none.
function M.address(text)
  if type(text) ~= "string" or text:find "[%%%[]" or not core.net_is_literal(text, 1) then
    return nil
  elseif text:find(":", 1, true) then
    return ip6(text), false
  end
  return MAPPED .. ip4(text), true
end

--- The bytes and the number of bits of "10.0.0.0/8", "2001:db8::/32", or of an address alone; nil:
-- the text is none, or it has bits behind its prefix.
function M.network(text)
  local host, bits = text, nil
  if type(text) == "string" and text:find("/", 1, true) then
    host, bits = text:match "^(.*)/(%d%d?%d?)$"
  end
  local bytes, is_ip4 = M.address(host)
  if not bytes then
    return nil
  end
  local least = is_ip4 and 96 or 0
  bits = bits and tonumber(bits) + least or 128
  return bits <= 128 and M.mask(bytes, bits) == bytes and bytes or nil, bits
end

--- The first bits of an address; the others are zero.
function M.mask(bytes, bits)
  local whole, rest = math.floor(bits / 8), bits % 8
  local last = bytes:byte(whole + 1) or 0
  local kept = bytes:sub(1, whole)
  if rest > 0 then
    kept = kept .. string.char(last - last % 2 ^ (8 - rest))
  end
  return kept .. ("\0"):rep(16 - #kept)
end

--- As text, of network's bytes and bits.
function M.text(bytes, bits)
  if bytes:sub(1, 12) == MAPPED and bits >= 96 then
    return ("%d.%d.%d.%d/%d"):format(bytes:byte(13), bytes:byte(14), bytes:byte(15),
      bytes:byte(16), bits - 96)
  end
  local out = {}
  for i = 1, 16, 2 do
    out[#out + 1] = ("%x"):format(bytes:byte(i) * 256 + bytes:byte(i + 1))
  end
  return table.concat(out, ":") .. "/" .. bits
end

return M
