---@meta ringlet.zlib
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/zlib.lua

---A stream that compresses, from `deflater`. Its memory is freed by `close`, or when it is
---collected.
---@class ringlet.Deflater
local Deflater = {}

---Compress some more.
---
---Does not park.
---
---Raises behind `finish`; on a closed stream.
---@param data string
---@return string|nil # what is ready of the compressed stream, often ""
---@return string|nil # message
---@return string|nil # "ENOMEM"
---@overload fun(self: ringlet.Deflater, data: string): nil, string, string
function Deflater:write(data) end

---Compress some more, and give all of it up to here, ending at a byte: 00 00 FF FF.
---
---Does not park.
---
---Source: RFC 1951, zlib's Z_SYNC_FLUSH.
---@param data? string ("")
---@return string|nil
---@return string|nil # message
---@return string|nil # "ENOMEM"
---@overload fun(self: ringlet.Deflater, data?: string): nil, string, string
function Deflater:flush(data) end

---Compress the last piece, and end the stream.
---
---Does not park.
---@param data? string ("")
---@return string|nil
---@return string|nil # message
---@return string|nil # "ENOMEM"
---@overload fun(self: ringlet.Deflater, data?: string): nil, string, string
function Deflater:finish(data) end

---Begin another stream, with the same options.
---
---Does not park.
function Deflater:reset() end

---Free it. Idempotent.
---
---Does not park.
---@return true
function Deflater:close() end

---@class ringlet.stats
---@field bytes_in integer given to it
---@field bytes_out integer given by it

---Counters.
---
---Does not park.
---@return ringlet.stats # a new table
function Deflater:stats() end

---A stream that decompresses, from `inflater`. Its memory is freed by `close`, or when it is
---collected.
---@class ringlet.Inflater
local Inflater = {}

---Decompress some more. Nothing is kept back; what is behind the end of the stream is not read.
---
---Does not park.
---
---Raises on a closed stream.
---
---Returns string.
---
---Or nil, message, "EPROTO" when it is not what the format says; "EMSGSIZE" when it would be more
---than `max`; "ENOMEM". The stream is of no use any more then, until `reset`..
---@param data string
---@param max? integer bytes that it may become, by default 2^40; memory is taken for no more
---@return string|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.Inflater, data: string, max?: integer): nil, string, string
function Inflater:write(data, max) end

---Decompress a message of a raw stream that goes on behind it: what `flush` gave, without its last
---four bytes. Streams that end within messages are followed by the next.
---
---Does not park.
---
---Source: RFC 7692 section 7.2.2.
---@param data string
---@param max? integer as for `write`
---@return string|nil
---@return string|nil # message
---@return string|nil # as `write`
---@overload fun(self: ringlet.Inflater, data: string, max?: integer): nil, string, string
function Inflater:message(data, max) end

---Has the end of the stream been read?
---
---Does not park.
---@return boolean
function Inflater:finished() end

---Begin another stream, with the same options.
---
---Does not park.
function Inflater:reset() end

---Free it. Idempotent.
---
---Does not park.
---@return true
function Inflater:close() end

---@class ringlet.stats
---@field bytes_in integer read by it, not those behind the end of the stream
---@field bytes_out integer given by it

---Counters.
---
---Does not park.
---@return ringlet.stats # a new table
function Inflater:stats() end

---zlib's streams: deflate, zlib and gzip, in pieces, with bounds. It is the rock ringlet-zlib,
---which needs the library zlib; nothing else of ringlet needs it but compressed WebSockets.
---
---    local zlib = require "ringlet.zlib"
---    local packed = zlib.compress(("tick "):rep(1000), {format = "gzip"})
---    print(#packed, #zlib.decompress(packed, 5000, {format = "gzip"}))
---
---Nothing here parks: compressing takes 10 to 50 ns a byte of the shard's time. Give much of it to
---`rl.offload`.
---@class ringlet.zlib
local M = {}

---@class ringlet.zlib.deflater.opts
---@field format? string "zlib" (RFC 1950), "gzip" (RFC 1952) or "raw" (RFC 1951) ("zlib")
---@field level? integer 1 (fast) to 9 (small), 0: only stored (6)
---@field window? integer 9 to 15: looks back 2^window bytes (15)

---A stream that compresses. It takes 2^(window + 3) bytes: 256 KiB unless told.
---
---Does not park.
---
---Source: zlib's manual, deflateInit2.
---@param opts? ringlet.zlib.deflater.opts
---@return ringlet.Deflater|nil
---@return string|nil # message
---@return string|nil # "ENOMEM"
---@overload fun(opts?: ringlet.zlib.deflater.opts): nil, string, string
function M.deflater(opts) end

---@class ringlet.zlib.inflater.opts
---@field format? string "zlib", "gzip", "raw", or "auto": zlib or gzip ("zlib")
---@field window? integer 8 to 15: at least what it was compressed with (15)

---A stream that decompresses. It takes about 7 KiB and 2^window bytes.
---
---Does not park.
---
---Source: zlib's manual, inflateInit2.
---@param opts? ringlet.zlib.inflater.opts
---@return ringlet.Inflater|nil
---@return string|nil # message
---@return string|nil # "ENOMEM"
---@overload fun(opts?: ringlet.zlib.inflater.opts): nil, string, string
function M.inflater(opts) end

---Compress a string.
---
---Does not park.
---@param data string
---@param opts? table as of `deflater`
---@return string|nil
---@return string|nil # message
---@return string|nil # "ENOMEM"
---@overload fun(data: string, opts?: table): nil, string, string
function M.compress(data, opts) end

---Decompress a string.
---
---Does not park.
---
---Returns string.
---
---Or nil, message, "EPROTO" also when the stream does not end where the string does; "EMSGSIZE";
---"ENOMEM".
---@param data string one whole stream
---@param max? integer bytes that it may become, by default 2^40
---@param opts? table as of `inflater`
---@return string|nil
---@return string|nil
---@return string|nil
---@overload fun(data: string, max?: integer, opts?: table): nil, string, string
function M.decompress(data, max, opts) end

return M
