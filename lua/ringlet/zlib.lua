-- SPDX-License-Identifier: MIT
--- zlib's streams: deflate, zlib and gzip, in pieces, with bounds. It is the rock ringlet-zlib,
-- which needs the library zlib; nothing else of ringlet needs it but compressed WebSockets.
--
--     local zlib = require "ringlet.zlib"
--     local packed = zlib.compress(("tick "):rep(1000), {format = "gzip"})
--     print(#packed, #zlib.decompress(packed, 5000, {format = "gzip"}))
--
-- Nothing here parks: compressing takes 10 to 50 ns a byte of the shard's time. Give much of it to
-- `rl.offload`.
-- @module ringlet.zlib

local zlib = require "ringlet.zlib_core"
local options = require "ringlet.options"

local M = {}

local FORMATS = {"zlib", "gzip", "raw", "auto"}
local MAX = 2 ^ 40

-- What zlib takes for a window of 2^n bytes in a format.
local BITS = {
  zlib = function(n) return n end,
  gzip = function(n) return n + 16 end,
  raw = function(n) return -n end,
  auto = function(n) return n + 32 end,
}

local function bits_of(opts, level)
  local format = opts.format or "zlib"
  if not BITS[format] then
    options.bound(format, FORMATS, "option 'format'", level + 1)
  end
  return BITS[format](opts.window or 15)
end

local function no_memory()
  return nil, "ENOMEM: out of memory", "ENOMEM"
end

-- ---- deflating ----------------------------------------------------------------------------------

--- A stream that compresses, from `deflater`. Its memory is freed by `close`, or when it is
-- collected.
-- @type Deflater
local Deflater = {__name = "ringlet.deflater"}
Deflater.__index = Deflater

local function deflate(self, data, how)
  if type(data) ~= "string" then
    error("string expected, got " .. type(data), 3)
  elseif self.closed then
    error("the stream is closed", 3)
  elseif zlib.ended(self.x) then
    error("the stream has been finished", 3)
  end
  local out = zlib.deflate(self.x, data, how)
  if out then
    self.bytes_in, self.bytes_out = self.bytes_in + #data, self.bytes_out + #out
    return out
  end
  return no_memory()
end

--- Compress some more.
-- @tparam string data
-- @treturn string what is ready of the compressed stream, often ""
-- @fails "ENOMEM"
-- @raise behind `finish`; on a closed stream
function Deflater:write(data)
  return deflate(self, data, "none")
end

--- Compress some more, and give all of it up to here, ending at a byte: 00 00 FF FF.
-- @tparam[opt=""] string data
-- @treturn string
-- @fails "ENOMEM"
-- @source RFC 1951, zlib's Z_SYNC_FLUSH
function Deflater:flush(data)
  return deflate(self, data or "", "sync")
end

--- Compress the last piece, and end the stream.
-- @tparam[opt=""] string data
-- @treturn string
-- @fails "ENOMEM"
function Deflater:finish(data)
  return deflate(self, data or "", "finish")
end

--- Begin another stream, with the same options.
function Deflater:reset()
  if self.closed then
    error("the stream is closed", 2)
  end
  zlib.reset(self.x)
end

--- Free it. Idempotent.
-- @treturn true
function Deflater:close()
  self.closed = true
  zlib.close(self.x)
  return true
end

--- Counters.
-- @treturn stats a new table
-- @tfield[stats] integer bytes_in given to it
-- @tfield[stats] integer bytes_out given by it
function Deflater:stats()
  return {bytes_in = self.bytes_in, bytes_out = self.bytes_out}
end

function Deflater:__tostring()
  return ("%s: %d bytes in, %d out"):format(getmetatable(self).__name, self.bytes_in,
    self.bytes_out)
end

local DEFLATER = {format = "string", level = "number", window = "number"}
local DEFLATER_BOUNDS = {
  level = {min = 0, max = 9, whole = true}, window = {min = 9, max = 15, whole = true},
}

local function new_deflater(opts, level)
  opts = options.check(opts, DEFLATER, level)
  options.bounds(opts, DEFLATER_BOUNDS, level)
  local bits = bits_of(opts, level)
  if opts.format == "auto" then
    error("option 'format': \"auto\" is for inflaters", level)
  end
  local memory = math.max(1, (opts.window or 15) - 7)
  local x = zlib.deflater(bits, opts.level or 6, memory)
  if not x then
    return no_memory()
  end
  return setmetatable({x = x, bytes_in = 0, bytes_out = 0}, Deflater)
end

--- A stream that compresses. It takes 2^(window + 3) bytes: 256 KiB unless told.
-- @tparam[opt] table opts
-- @tparam[opt="zlib"] string opts.format "zlib" (RFC 1950), "gzip" (RFC 1952) or "raw" (RFC 1951)
-- @tparam[opt=6] integer opts.level 1 (fast) to 9 (small), 0: only stored
-- @tparam[opt=15] integer opts.window 9 to 15: looks back 2^window bytes
-- @treturn Deflater
-- @fails "ENOMEM"
-- @source zlib's manual, deflateInit2
function M.deflater(opts)
  return new_deflater(opts, 3)
end

-- ---- inflating ----------------------------------------------------------------------------------

--- A stream that decompresses, from `inflater`. Its memory is freed by `close`, or when it is
-- collected.
-- @type Inflater
local Inflater = {__name = "ringlet.inflater"}
Inflater.__index = Inflater

Inflater.reset, Inflater.close, Inflater.stats = Deflater.reset, Deflater.close, Deflater.stats
Inflater.__tostring = Deflater.__tostring

-- What came out, or the failure values of what went wrong.
local function settle(self, data, max, out, more, why)
  if out then
    self.bytes_in, self.bytes_out = self.bytes_in + #data - more, self.bytes_out + #out
    return out
  elseif more == "size" then
    return nil, ("EMSGSIZE: more than %.0f bytes"):format(max), "EMSGSIZE"
  elseif more == "memory" then
    return no_memory()
  end
  return nil, "EPROTO: " .. (why or "not compressed like that"), "EPROTO"
end

local MAX_BOUND = {min = 0, infinite = true}

-- Checks both, and whether the stream is open; gives the bound.
local function check(data, max, level, self)
  if type(data) ~= "string" then
    error("string expected, got " .. type(data), level + 1)
  elseif max ~= nil and type(max) ~= "number" then
    error("max must be a number, not a " .. type(max), level + 1)
  end
  options.bound(max, MAX_BOUND, "max", level)
  if self and self.closed then
    error("the stream is closed", level + 1)
  end
  return max or MAX
end

--- Decompress some more. Nothing is kept back; what is behind the end of the stream is not read.
-- @tparam string data
-- @tparam[opt] integer max bytes that it may become, by default 2^40; memory is taken for no more
-- @treturn string
-- @fails "EPROTO" when it is not what the format says; "EMSGSIZE" when it would be more than `max`;
-- "ENOMEM". The stream is of no use any more then, until `reset`.
-- @raise on a closed stream
function Inflater:write(data, max)
  max = check(data, max, 2, self)
  if zlib.ended(self.x) then
    return ""
  end
  return settle(self, data, max, zlib.inflate(self.x, data, max))
end

--- Decompress a message of a raw stream that goes on behind it: what `flush` gave, without its last
-- four bytes. Streams that end within messages are followed by the next.
-- @tparam string data
-- @tparam[opt] integer max as for `write`
-- @treturn string
-- @fails as `write`
-- @source RFC 7692 section 7.2.2
function Inflater:message(data, max)
  max = check(data, max, 2, self)
  return settle(self, data, max, zlib.inflate(self.x, data, max, "\0\0\255\255"))
end

--- Has the end of the stream been read?
-- @treturn boolean
function Inflater:finished()
  return zlib.ended(self.x)
end

--- Begin another stream, with the same options.
-- @function Inflater:reset

--- Free it. Idempotent.
-- @function Inflater:close
-- @treturn true

--- Counters.
-- @function Inflater:stats
-- @treturn stats a new table
-- @tfield[stats] integer bytes_in read by it, not those behind the end of the stream
-- @tfield[stats] integer bytes_out given by it

local INFLATER = {format = "string", window = "number"}
local INFLATER_BOUNDS = {window = {min = 8, max = 15, whole = true}}

local function new_inflater(opts, level)
  opts = options.check(opts, INFLATER, level)
  options.bounds(opts, INFLATER_BOUNDS, level)
  local x = zlib.inflater(bits_of(opts, level))
  if not x then
    return no_memory()
  end
  return setmetatable({x = x, bytes_in = 0, bytes_out = 0}, Inflater)
end

--- A stream that decompresses. It takes about 7 KiB and 2^window bytes.
-- @tparam[opt] table opts
-- @tparam[opt="zlib"] string opts.format "zlib", "gzip", "raw", or "auto": zlib or gzip
-- @tparam[opt=15] integer opts.window 8 to 15: at least what it was compressed with
-- @treturn Inflater
-- @fails "ENOMEM"
-- @source zlib's manual, inflateInit2
function M.inflater(opts)
  return new_inflater(opts, 3)
end

-- ---- all at once --------------------------------------------------------------------------------

--- Compress a string.
-- @tparam string data
-- @tparam[opt] table opts as of `deflater`
-- @treturn string
-- @fails "ENOMEM"
function M.compress(data, opts)
  check(data, nil, 2)
  local stream, msg, code = new_deflater(opts, 3)
  if not stream then
    return nil, msg, code
  end
  local out
  out, msg, code = stream:finish(data)
  stream:close()
  return out, msg, code
end

--- Decompress a string.
-- @tparam string data one whole stream
-- @tparam[opt] integer max bytes that it may become, by default 2^40
-- @tparam[opt] table opts as of `inflater`
-- @treturn string
-- @fails "EPROTO" also when the stream does not end where the string does; "EMSGSIZE"; "ENOMEM"
function M.decompress(data, max, opts)
  check(data, max, 2)
  local stream, msg, code = new_inflater(opts, 3)
  if not stream then
    return nil, msg, code
  end
  local out
  out, msg, code = stream:write(data, max)
  local whole = out and stream:finished() and stream.bytes_in == #data
  stream:close()
  if out and not whole then
    return nil, "EPROTO: the stream does not end where the string does", "EPROTO"
  end
  return out, msg, code
end

return M
