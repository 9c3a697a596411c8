-- SPDX-License-Identifier: MIT
-- websocket_deflate: the extension permessage-deflate (RFC 7692): what is offered, accepted and
-- agreed on, and the codec of a socket, which packs and unpacks its messages. zlib is another rock,
-- loaded when somebody asks for compression; no other module knows of it.
--
-- Invariants: an offer is accepted as a whole or not at all. Messages are packed in the order in
-- which they are sent and unpacked in that in which they came. A codec whose side keeps no history
-- has no stream of its own: those of the shard are used, one for each level and window, as nothing
-- parks while one is in use.

local extensions = require "ringlet.websocket_extensions"
local options = require "ringlet.options"

local M = {}

local NAME = "permessage-deflate"
local LEVEL, WINDOW, THRESHOLD = 6, 15, 256
local TAIL = "\0\0\255\255"

local KNOWN = {
  level = "number", window = "number", no_context_takeover = "boolean", threshold = "number",
}
local BOUNDS = {
  level = {min = 1, max = 9, whole = true}, window = {min = 9, max = 15, whole = true},
  threshold = {min = 0, infinite = true},
}

local function load_zlib(level)
  local ok, zlib = pcall(require, "ringlet.zlib")
  if not ok then
    error("option 'deflate' needs the rock ringlet-zlib (luarocks install ringlet-zlib): " ..
      tostring(zlib):match "^[^\n]*", level + 1)
  end
  return zlib
end

-- The option `deflate` with its defaults; nil: it is off. Raises at `level`, as options.check.
function M.check(opts, level)
  if not opts then
    return nil
  end
  if opts == true then
    opts = nil
  end
  opts = options.check(opts, KNOWN, level + 1)
  options.bounds(opts, BOUNDS, level + 1)
  load_zlib(level + 1)
  return {
    level = opts.level or LEVEL, window = opts.window or WINDOW,
    no_context_takeover = opts.no_context_takeover or false,
    threshold = opts.threshold or THRESHOLD,
  }
end

-- ---- parameters ---------------------------------------------------------------------------------

-- 8 to 15, written without a leading zero. (RFC 7692 section 7.1.2)
local function bits_of(text)
  return text and text:find "^[1-9]%d?$" and tonumber(text) >= 8 and tonumber(text) <= 15
    and tonumber(text) or nil
end

local FLAGS = {server_no_context_takeover = true, client_no_context_takeover = true}

-- Parameters by name: true or a number. nil: one is unknown, there twice, or has a wrong value.
-- `bare`: client_max_window_bits may be without one.
local function params_of(list, bare)
  local params = {}
  for _, param in ipairs(list) do
    local name, value = param.name, nil
    if FLAGS[name] then
      value = param.value == nil
    elseif name == "client_max_window_bits" and bare and param.value == nil then
      value = WINDOW
    elseif name == "client_max_window_bits" or name == "server_max_window_bits" then
      value = bits_of(param.value)
    end
    if not value or params[name] then
      return nil
    end
    params[name] = value
  end
  return params
end

local function write(params)
  local out = {NAME}
  for _, name in ipairs{"server_no_context_takeover", "client_no_context_takeover"} do
    if params[name] then
      out[#out + 1] = name
    end
  end
  for _, name in ipairs{"server_max_window_bits", "client_max_window_bits"} do
    local value = params[name]
    if value then
      out[#out + 1] = value == true and name or name .. "=" .. value
    end
  end
  return table.concat(out, "; ")
end

-- What a client asks for.
function M.offer(opts)
  return write{
    server_no_context_takeover = opts.no_context_takeover,
    client_no_context_takeover = opts.no_context_takeover,
    server_max_window_bits = opts.window < WINDOW and opts.window,
    client_max_window_bits = opts.window < WINDOW and opts.window or true,
  }
end

-- ---- the codec ----------------------------------------------------------------------------------

-- Streams of this shard, for sides without history: by level and window, and by window.
local deflaters, inflaters = {}, {}

local function deflater(level, window)
  return require "ringlet.zlib".deflater{format = "raw", level = level, window = window}
end

local function inflater(window)
  return require "ringlet.zlib".inflater{format = "raw", window = window}
end

local Codec = {__name = "ringlet.websocket.deflate"}
Codec.__index = Codec

local function get_deflater(self)
  if self.out_keeps then
    self.deflater = self.deflater or deflater(self.level, self.out_window)
    return self.deflater
  end
  local key = self.level * 16 + self.out_window
  local stream = deflaters[key] or deflater(self.level, self.out_window)
  deflaters[key] = stream
  return stream
end

local function get_inflater(self)
  if self.in_keeps then
    self.inflater = self.inflater or inflater(self.in_window)
    return self.inflater
  end
  local stream = inflaters[self.in_window] or inflater(self.in_window)
  inflaters[self.in_window] = stream
  return stream
end

-- A message, packed; nil: it goes as it is. Of an empty one zlib makes nothing; it has no window
-- of 2^8 bytes for raw streams.
function Codec:pack(data)
  if #data < self.threshold or data == "" or self.out_window < 9 then
    return nil
  end
  local stream = get_deflater(self)
  local out = stream and stream:flush(data)
  if stream and not self.out_keeps then
    stream:reset()
  end
  if not out or not self.out_keeps and #out - #TAIL >= #data then
    return nil
  end
  return out:sub(1, -#TAIL - 1)
end

-- A message, unpacked; or nil and what is wrong: "packing", or "length" beyond `max` bytes.
function Codec:unpack(data, max)
  local stream = get_inflater(self)
  if not stream then
    return nil, "packing"
  end
  local out, _, code = stream:message(data, max)
  if not self.in_keeps then
    stream:reset()
  end
  if out then
    return out
  end
  return nil, code == "EMSGSIZE" and "length" or "packing"
end

-- Give the streams back. It is used no more.
function Codec:close()
  for _, name in ipairs{"deflater", "inflater"} do
    if self[name] then
      self[name]:close()
      self[name] = nil
    end
  end
  self.threshold = math.huge
end

-- `params` are agreed on.
local function new_codec(opts, params, role)
  local peer = role == "client" and "server" or "client"
  local keeps = not opts.no_context_takeover
  return setmetatable({
    level = opts.level, threshold = opts.threshold,
    out_keeps = keeps and not params[role .. "_no_context_takeover"],
    out_window = math.min(opts.window, params[role .. "_max_window_bits"] or WINDOW),
    in_keeps = not params[peer .. "_no_context_takeover"],
    in_window = params[peer .. "_max_window_bits"] or WINDOW,
  }, Codec)
end

-- ---- agreeing -----------------------------------------------------------------------------------

-- What a server answers to an offer: at most what either side wants.
local function answer(opts, offer)
  local no_context, window = opts.no_context_takeover, opts.window
  local server = math.min(window, offer.server_max_window_bits or WINDOW)
  local client = offer.client_max_window_bits and math.min(window, offer.client_max_window_bits)
  return {
    server_no_context_takeover = no_context or offer.server_no_context_takeover,
    client_no_context_takeover = no_context or offer.client_no_context_takeover,
    server_max_window_bits = (offer.server_max_window_bits or server < WINDOW) and server,
    client_max_window_bits = client and client < WINDOW and client,
  }
end

-- A server's: of the client's header field, a codec and the field of the answer; nothing if no
-- offer is for us; nil and what is wrong with it.
function M.accept(opts, value)
  local offers = extensions.read(value or "")
  if not offers then
    return nil, "Sec-WebSocket-Extensions is malformed"
  end
  for _, offer in ipairs(offers) do
    local params = offer.name == NAME and params_of(offer.params, true)
    if params then
      local agreed = answer(opts, params)
      return new_codec(opts, agreed, "server"), write(agreed)
    end
  end
end

-- A client's: the codec the server's header field has agreed to, or nil and what is wrong with it.
function M.agree(opts, value)
  local list = extensions.read(value)
  local one = list and list[1]
  if not one or list[2] or one.name ~= NAME then
    return nil, "an extension that was not offered"
  end
  local params = params_of(one.params, false)
  local limit = opts.window < WINDOW and opts.window
  if not params then
    return nil, "parameters of permessage-deflate that do not exist"
  elseif opts.no_context_takeover and not params.server_no_context_takeover then
    return nil, "server_no_context_takeover was asked for"
  elseif limit and (params.server_max_window_bits or WINDOW) > limit then
    return nil, "server_max_window_bits is more than was asked for"
  end
  return new_codec(opts, params, "client")
end

return M
