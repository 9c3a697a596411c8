-- SPDX-License-Identifier: MIT
-- bytes: what a stream carries. Byte i of a stream is known to everybody, so what arrives can be
-- checked without keeping what was sent.

local random = require "spec.model.random"

local BLOCK = 1009 -- a prime: what is lost in other lengths is seen
local KINDS = 5

local blocks = {}

local function block(kind)
  if not blocks[kind] then
    local r, parts = random.new(kind + 1), {}
    for i = 1, BLOCK do
      parts[i] = r:chance(0.03) and "\n" or r:chance(0.04) and ";" or string.char(r:int(97, 122))
    end
    blocks[kind] = table.concat(parts)
  end
  return blocks[kind]
end

-- n bytes of the stream `name`, from offset `from` on.
local function of(name, from, n)
  local kind = 0
  for i = 1, #name do
    kind = (kind * 31 + name:byte(i)) % KINDS
  end
  local text, at = block(kind), from % BLOCK
  return text:rep(math.floor((at + n) / BLOCK) + 1):sub(at + 1, at + n)
end

return {of = of}
