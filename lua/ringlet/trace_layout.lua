-- SPDX-License-Identifier: MIT
-- trace_layout: the bytes of a recording, as src/rt/recorder.h lays them out, as tables and back.
--
-- A file may come from a process that was killed while it wrote, from a disk that was full, or from
-- anybody: every number of it is checked against the bytes that are there, and what is not there is
-- left out. A section is read as {first, chunks, count, names, texts, ticks, mono, last_id}: its
-- records from number `first` on, oldest first, in strings.

local M = {}

local MAGIC = "ringlet\1"
local VERSION, HEADER, RECORD = 1, 4096, 16
local HEADER_FIELDS = 104
local SECTION = 64 -- bytes of what is in front of a section's names
local LIMITS = {sections = 64, records = 2 ^ 26, texts_size = 65536, names = 65536}

M.RECORD = RECORD

-- ---- numbers ------------------------------------------------------------------------------------

-- Offsets count from 0.
local function u32(s, at)
  local a, b, c, d = s:byte(at + 1, at + 4)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- A double: exact up to 2^53, which everything but a hostile file is below.
local function u64(s, at)
  return u32(s, at) + u32(s, at + 4) * 4294967296
end

local function put32(n)
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256,
    math.floor(n / 16777216) % 256)
end

local function put64(n)
  return put32(n % 4294967296) .. put32(math.floor(n / 4294967296))
end

-- ---- the header ---------------------------------------------------------------------------------

local function malformed(what)
  return nil, "EPROTO: not a recording: " .. what, "EPROTO"
end

local function wrong_with(h)
  for name, max in pairs(LIMITS) do
    if h[name] < 1 or h[name] > max then
      return ("%s is %.0f"):format(name, h[name])
    end
  end
  if h.names_at < SECTION or h.names_at + 8 * h.names > h.texts_at
    or h.texts_at + h.texts_size > h.records_at
    or h.records_at + RECORD * h.records > h.section_size then
    return "the parts of a section overlap"
  elseif h.shift > 16 then
    return "shift is " .. h.shift
  end
end

--- What the header says.
-- @tparam string text at least its bytes
-- @treturn table
-- @fails "EPROTO"
function M.header(text)
  if #text < HEADER_FIELDS then
    return malformed "it is shorter than a header"
  elseif text:sub(1, 8) ~= MAGIC then
    return malformed "it begins with other bytes"
  elseif u32(text, 8) ~= VERSION or u32(text, 12) ~= HEADER or u32(text, 16) ~= RECORD then
    return malformed(("version %d is not known here"):format(u32(text, 8)))
  end
  local flags = u32(text, 64)
  local h = {
    sections = u32(text, 20), section_size = u64(text, 24), records = u32(text, 32),
    texts_size = u32(text, 36), names = u32(text, 40), names_at = u32(text, 44),
    texts_at = u32(text, 48), records_at = u32(text, 52), pid = u32(text, 56),
    shift = u32(text, 60), virtual = flags % 2 == 1, ticks = u64(text, 72), mono = u64(text, 80),
    wall = u64(text, 88), window = u64(text, 96) / 1e9,
  }
  local what = wrong_with(h)
  if what then
    return malformed(what)
  end
  return h
end

-- ---- sections -----------------------------------------------------------------------------------

--- The text at an offset, nil when there is none.
function M.text(texts, at)
  local n = at > 0 and texts:byte(at + 1)
  if n and at + 1 + n <= #texts then
    return texts:sub(at + 2, at + 1 + n)
  end
end

--- The names of tasks by the low 32 bits of their ids.
function M.names(bytes, texts)
  local names = {}
  for at = 0, #bytes - 8, 8 do
    local id = u32(bytes, at)
    local text = id > 0 and M.text(texts, u32(bytes, at + 4))
    if text then
      names[id] = text
    end
  end
  return names
end

-- The records of a ring, oldest first: of a full one the oldest may be half overwritten.
local function unroll(text, at, head, size)
  local there = math.max(math.floor((#text - at) / RECORD), 0)
  local function part(from, to)
    to = math.min(to, there)
    return from < to and text:sub(at + from * RECORD + 1, at + to * RECORD) or ""
  end
  if head <= size then
    return 0, {part(0, head)}
  end
  local place = head % size
  return head - size + 1, {part(place + 1, size), part(0, place)}
end

local function count_of(chunks)
  local n = 0
  for _, chunk in ipairs(chunks) do
    n = n + #chunk / RECORD
  end
  return n
end

-- A section in a file, or nil when its beginning is not there.
local function section_of(text, at, h)
  if #text < at + h.texts_at then
    return nil
  end
  local used = math.max(math.min(u64(text, at + 48), h.texts_size), 0)
  local texts = text:sub(at + h.texts_at + 1, at + h.texts_at + used)
  local names = text:sub(at + h.names_at + 1, at + h.names_at + 8 * h.names)
  local pairs_n = u64(text, at + 8)
  local pair = at + 16 + (pairs_n + 1) % 2 * 16
  local s = {
    names = M.names(names, texts), names_bytes = names, texts = texts,
    last_id = u64(text, at + 56),
    ticks = pairs_n > 0 and u64(text, pair) or nil,
    mono = pairs_n > 0 and u64(text, pair + 8) or nil,
  }
  -- A head beyond what doubles count exactly is no head.
  local head = u64(text, at)
  s.first, s.chunks = unroll(text:sub(1, at + h.section_size), at + h.records_at,
    head >= 0 and head < 2 ^ 53 and head or 0, h.records)
  s.count = count_of(s.chunks)
  return s
end

--- The header and the sections of a file's bytes. Sections that are not all there are read as far
-- as they go.
-- @tparam string text
-- @treturn table the header
-- @treturn table the sections; `truncated` is true when bytes are missing
-- @fails "EPROTO"
function M.read(text)
  local h, msg, code = M.header(text)
  if not h then
    return nil, msg, code
  end
  local sections = {truncated = #text < HEADER + h.sections * h.section_size}
  for i = 1, h.sections do
    sections[i] = section_of(text, HEADER + (i - 1) * h.section_size, h)
  end
  return h, sections
end

-- ---- writing ------------------------------------------------------------------------------------

local function pad(text, size)
  return text .. ("\0"):rep(size - #text)
end

local function header_bytes(h, records, section_size)
  return pad(table.concat{
    MAGIC, put32(VERSION), put32(HEADER), put32(RECORD), put32(h.sections), put64(section_size),
    put32(records), put32(h.texts_size), put32(h.names), put32(h.names_at), put32(h.texts_at),
    put32(h.records_at), put32(h.pid), put32(h.shift), put32(h.virtual and 1 or 0), put32(0),
    put64(h.ticks), put64(h.mono), put64(h.wall), put64(h.window * 1e9),
  }, HEADER)
end

--- Write what M.read reads: `put` is called with one piece after the other.
-- @tparam table h a header
-- @tparam table sections
-- @tparam fun(piece:string) put
function M.write(h, sections, put)
  local records = 64
  for i = 1, h.sections do
    while sections[i] and records < sections[i].count do
      records = records * 2
    end
  end
  local size = h.records_at + records * RECORD
  put(header_bytes(h, records, size))
  for i = 1, h.sections do
    local s = sections[i] or {count = 0, last_id = 0, texts = "", names_bytes = "", chunks = {}}
    local pair = s.ticks and put64(s.ticks) .. put64(s.mono) or ("\0"):rep(16)
    local front = put64(s.count) .. put64(s.ticks and 1 or 0) .. pair .. ("\0"):rep(16)
      .. put64(#s.texts) .. put64(s.last_id)
    put(pad(pad(pad(front, h.names_at) .. s.names_bytes, h.texts_at) .. s.texts, h.records_at))
    for _, chunk in ipairs(s.chunks) do
      put(chunk)
    end
    put(("\0"):rep((records - s.count) * RECORD))
  end
end

return M
