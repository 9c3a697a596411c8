-- SPDX-License-Identifier: MIT
-- protobuf: writes messages of Protocol Buffers, in the order in which fields are added. There is
-- no schema: whoever writes knows the numbers and types of the fields.
--
-- Numbers are Lua numbers: exact up to 2^53, and on Lua 5.4 as integers up to 2^63.
-- Source: the Protocol Buffers documentation, "Encoding".

local char, concat, floor = string.char, table.concat, math.floor

local M = {}

-- n / d without its fraction. Lua 5.4 has whole numbers beyond 2^53, and an operator for them that
-- LuaJIT cannot read.
local quotient = rawget(_G, "jit") and function(n, d) return floor(n / d) end
  or load "local n, d = ... return n // d"

local VARINT, FIXED64, LENGTH = 0, 1, 2

local Writer = {}
Writer.__index = Writer

--- A message that has no field yet.
function M.writer()
  return setmetatable({}, Writer)
end

-- Seven bits in a byte, least significant first; `n` is a whole number that is not negative.
local function varint(n)
  if n < 128 then
    return char(floor(n))
  end
  local bytes, i = {}, 0
  while n >= 128 do
    i = i + 1
    bytes[i] = char(floor(n % 128 + 128))
    n = quotient(n, 128)
  end
  bytes[i + 1] = char(floor(n))
  return concat(bytes)
end

-- A negative number is written as that of 64 bits with the same two's complement: nine groups of
-- the inverted bits of -n - 1, and the top bit.
local function int64(n)
  if n >= 0 then
    return varint(n)
  end
  local bytes, rest = {}, -(n + 1)
  for i = 1, 9 do
    bytes[i] = char(floor(255 - rest % 128))
    rest = quotient(rest, 128)
  end
  return concat(bytes) .. "\1"
end

local function add(w, field, wire, bytes)
  w[#w + 1] = varint(field * 8 + wire)
  w[#w + 1] = bytes
  return w
end

--- A field of type uint64, uint32, int64, int32, bool (0 or 1) or enum.
-- @tparam integer field
-- @tparam number n whole; a fraction is cut off
function Writer:int(field, n)
  return add(self, field, VARINT, int64(floor(n)))
end

--- A field of type string or bytes.
function Writer:string(field, s)
  add(self, field, LENGTH, varint(#s))
  self[#self + 1] = s
  return self
end

--- A message within this one.
-- @tparam integer field
-- @tparam table message another writer
function Writer:message(field, message)
  return self:string(field, message:bytes())
end

--- A repeated field of whole numbers, packed. Of an empty list nothing is written.
-- @tparam integer field
-- @tparam {number,...} list
function Writer:packed(field, list)
  if not list[1] then
    return self
  end
  local bytes = {}
  for i, n in ipairs(list) do
    bytes[i] = int64(floor(n))
  end
  return self:string(field, concat(bytes))
end

-- Eight bytes of a number that is not negative, least significant first.
local function eight(n)
  local bytes = {}
  for i = 1, 8 do
    bytes[i] = char(floor(n % 256))
    n = quotient(n, 256)
  end
  return concat(bytes)
end

--- A field of type fixed64.
function Writer:fixed64(field, n)
  return add(self, field, FIXED64, eight(floor(n)))
end

-- math.frexp, which Lua 5.4 need not have: x = m * 2^e with 0.5 <= m < 1.
local function split(x)
  local e = 0
  while x >= 1 do x, e = x / 2, e + 1 end
  while x < 0.5 do x, e = x * 2, e - 1 end
  return x, e
end

-- The upper and the lower 32 bits of IEEE 754's double.
local function halves(x)
  if x ~= x then
    return 0x7ff80000, 0
  end
  local sign = (x < 0 or 1 / x < 0) and 0x80000000 or 0
  x = x < 0 and -x or x
  if x == 0 then
    return sign, 0
  elseif x == math.huge then
    return sign + 0x7ff00000, 0
  end
  local m, e = split(x)
  local bits = e > -1022 and (m * 2 - 1) * 2 ^ 52 or m * 2 ^ (e + 1074)
  local biased = e > -1022 and e + 1022 or 0
  local upper = floor(bits / 2 ^ 32)
  return sign + biased * 2 ^ 20 + upper, floor(bits - upper * 2 ^ 32)
end

--- A field of type double.
function Writer:double(field, x)
  local upper, lower = halves(x)
  return add(self, field, FIXED64, eight(lower):sub(1, 4) .. eight(upper):sub(1, 4))
end

--- The message so far.
-- @treturn string
function Writer:bytes()
  return concat(self)
end

return M
