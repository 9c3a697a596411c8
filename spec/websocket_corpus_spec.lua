-- SPDX-License-Identifier: MIT
-- What a server answers to frames sent by hand: the cases of the Autobahn test suite, sections 1 to
-- 9, by their numbers, with its verdicts. An echo server; what is sent is masked.
local H = require "spec.helper"
local wire = require "spec.ws_wire"

local frame, fragment, close_payload = wire.frame, wire.fragment, wire.close_payload

-- A frame as a server sends it, and its close frames.
local function said(op, data) return frame(op, data, true) end
local function closed(code, reason) return said(8, close_payload(code, reason)) end

local function more(data) return fragment(0, data) end -- goes on, and is not the last
local function last(data) return frame(0x80, data) end

local BYE, OVER = frame(8, close_payload(1000)), closed(1000)
local LONG_TEXT = ("\206\186\225\189\185\207\131\206\188\206\181"):rep(20)

-- Name; what is sent, what comes back, and so on; behind the last, the connection ends.
local CASES = {
  {"2.1 a ping without content", frame(9, ""), said(10, ""), BYE, OVER},
  {"2.4 a ping of 125 bytes", frame(9, ("\254"):rep(125)), said(10, ("\254"):rep(125)), BYE,
    OVER},
  {"2.5 a ping of 126 bytes", frame(9, ("\254"):rep(126)), closed(1002)},
  {"2.7 a pong that nobody asked for", frame(10, "") .. BYE, OVER},
  {"2.9 such a pong, then a ping", frame(10, "x") .. frame(9, "y"), said(10, "y"), BYE, OVER},
  {"2.10 ten pings", frame(9, "p"):rep(10), said(10, "p"):rep(10), BYE, OVER},
  {"3.2 a message, then a reserved bit", frame(1, "hi"), said(1, "hi"),
    frame(0xa1, "hi") .. frame(9, ""), closed(1002)},
  {"4.1.1 a reserved opcode", frame(3, ""), closed(1002)},
  {"4.2.1 a reserved control opcode", frame(11, ""), closed(1002)},
  {"4.2.5 behind a message", frame(1, "hi"), said(1, "hi"),
    frame(15, "x") .. frame(9, ""), closed(1002)},
  {"5.1 a ping in two fragments", fragment(9, "a") .. last "b", closed(1002)},
  {"5.2 a pong in two fragments", fragment(10, "a") .. last "b", closed(1002)},
  {"5.3 a text in two fragments", fragment(1, "a") .. last "b", said(1, "ab"), BYE, OVER},
  {"5.6 a ping between", fragment(1, "a") .. frame(9, "p") .. last "b",
    said(10, "p") .. said(1, "ab"), BYE, OVER},
  {"5.9 a continuation of nothing", last "x" .. frame(1, "y"), closed(1002)},
  {"5.12 one that is not the last", more "x" .. frame(1, "y"), closed(1002)},
  {"5.15 a continuation behind a message",
    fragment(1, "a") .. last "b", said(1, "ab"), more "c" .. frame(1, "d"), closed(1002)},
  {"5.18 two beginnings", fragment(1, "a") .. frame(1, "b"), closed(1002)},
  {"5.19 five fragments, pings between", fragment(1, "1") .. more "2" .. frame(9, "p") .. more "3"
    .. more "4" .. frame(9, "q") .. last "5",
    said(10, "p") .. said(10, "q") .. said(1, "12345"), BYE, OVER},
  {"6.1.1 an empty text", frame(1, ""), said(1, ""), BYE, OVER},
  {"6.1.2 in three empty fragments", fragment(1, "") .. more "" .. last "",
    said(1, ""), BYE, OVER},
  {"6.1.3 and one that is not", fragment(1, "") .. more "mid" .. last "",
    said(1, "mid"), BYE, OVER},
  {"6.3.1 UTF-8 with a surrogate", frame(1, LONG_TEXT .. "\237\160\128" .. "edited"), closed(1007)},
  {"6.3.2 the same a byte at a time", fragment(1, "\237") .. more "\160" .. more "\128" .. last "",
    closed(1007)},
  {"6.4.1 wrong in the second fragment, more to come", fragment(1, "\206\186") ..
    more "\244\144\128\128", closed(1007)},
  {"6.4.3 wrong in the middle of a frame, more to come",
    frame(1, "\206\186\244\144\128\128" .. ("x"):rep(300)):sub(1, 20), closed(1007)},
  {"7.1.1 a message, then the end", frame(1, "hi"), said(1, "hi"), BYE, OVER},
  {"7.1.2 two ends", BYE .. BYE, OVER},
  {"7.1.3 a ping behind the end", BYE .. frame(9, ""), OVER},
  {"7.1.4 a text behind the end", BYE .. frame(1, "x"), OVER},
  {"7.1.5 the end within a message", fragment(1, "a") .. BYE .. last "b", OVER},
  {"7.3.1 a close without content", frame(8, ""), said(8, "")},
  {"7.3.2 a close of one byte", frame(8, "a"), closed(1002)},
  {"7.3.3 a close with a code", BYE, OVER},
  {"7.3.4 and a reason", frame(8, close_payload(1000, "done")), OVER},
  {"7.3.5 of 123 bytes", frame(8, close_payload(1000, ("r"):rep(123))), OVER},
  {"7.3.6 of 124 bytes", frame(8, close_payload(1000, ("r"):rep(124))), closed(1002)},
  {"7.5.1 that is not UTF-8", frame(8, close_payload(1000, "\206\186\237\160\128")), closed(1007)},
}

for _, code in ipairs{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}
do
  CASES[#CASES + 1] = {"7.7 code " .. code, frame(8, close_payload(code)), closed(code)}
end
for _, code in ipairs{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} do
  CASES[#CASES + 1] = {"7.9 code " .. code, frame(8, close_payload(code)), closed(1002)}
end

-- 6.5 to 6.21: texts, and whether they are UTF-8.
local TEXTS = {
  {"\206\186\225\189\185\207\131\206\188\206\181", true}, {"\0", true}, {"\194\128", true},
  {"\224\160\128", true}, {"\240\144\128\128", true}, {"\127", true}, {"\223\191", true},
  {"\239\191\191", true}, {"\244\143\191\191", true}, {"\237\159\191", true},
  {"\238\128\128", true}, {"\239\191\189", true}, {"\239\191\190", true}, {"\239\187\191", true},
  {"\240\159\191\190", true}, {"\244\143\191\190", true},
  {"\248\136\128\128\128", false}, {"\252\132\128\128\128\128", false},
  {"\247\191\191\191", false}, {"\251\191\191\191\191", false}, {"\244\144\128\128", false},
  {"\253\191\191\191\191\191", false}, {"\128", false}, {"\191", false}, {"\128\191", false},
  {"\192 ", false}, {"\223", false}, {"\224\128", false}, {"\239\191", false},
  {"\240\128\128", false}, {"\248\128\128\128", false}, {"\254", false}, {"\255", false},
  {"\192\175", false}, {"\224\128\175", false}, {"\240\128\128\175", false},
  {"\193\191", false}, {"\224\159\191", false}, {"\240\143\191\191", false},
  {"\192\128", false}, {"\224\128\128", false}, {"\240\128\128\128", false},
  {"\237\160\128", false}, {"\237\173\191", false}, {"\237\174\128", false},
  {"\237\191\191", false}, {"\237\160\128\237\176\128", false},
}

-- 6.5 and on: each text whole, and a byte a fragment.
for i, text in ipairs(TEXTS) do
  local bytes, right = text[1], text[2]
  local pieces = {}
  for at = 1, #bytes do
    pieces[at] = at == 1 and fragment(1, bytes:sub(1, 1)) or (more(bytes:sub(at, at)))
  end
  local forms = {[""] = frame(1, bytes), [" in fragments"] = table.concat(pieces) .. last ""}
  for how, sent in pairs(forms) do
    local name = "6.5 text " .. i .. how
    CASES[#CASES + 1] = right and {name, sent, said(1, bytes), BYE, OVER}
      or {name, sent, closed(1007)}
  end
end

local WAIT = 30 -- for what hangs

-- Play a case, in pieces of so many bytes: each thing that is sent, and what must come back of it;
-- behind the last, the end of the connection.
local function play(server, case, each)
  local conn = wire.raw_client(server)
  for step = 2, #case, 2 do
    local bytes, want = case[step], case[step + 1]
    for i = 1, #bytes, each do
      conn:write(bytes:sub(i, i + each - 1))
      if each < #bytes then conn:flush() end
    end
    local is_last = step + 1 == #case
    local got = is_last and conn:read_all(1000000, WAIT) or conn:read_exactly(#want, WAIT)
    assert.equal(want, got, case[1])
  end
  conn:close()
end

-- Its failures are what is looked at.
local function echo(ws)
  local data, kind = ws:recv()
  while data do
    ws:send(data, kind)
    data, kind = ws:recv()
  end
end

H.both("case", function(it, backend)
  for _, each in ipairs(backend == "sim" and {1, 7, 100000} or {100000}) do
    it("by case is answered as it should be, in pieces of " .. each, function()
      local server = wire.serve(echo)
      for _, case in ipairs(CASES) do play(server, case, each) end
      server:stop(1)
    end)
  end

  -- 9.1 to 9.6; the largest here is 256 KiB.
  it("9: large messages come back, in one frame or many", function()
    local server = wire.serve(echo)
    local conn = wire.raw_client(server)
    for _, size in ipairs{65536, 262144} do
      for _, piece in ipairs{64, 1024, 65536, size} do
        local op = piece % 128 == 0 and 2 or 1
        local data = ("*"):rep(piece)
        local n = size / piece
        if n == 1 then
          conn:write((frame(op, data)))
        else
          conn:write((fragment(op, data)), more(data):rep(n - 2), (last(data)))
        end
        local want = said(op, data:rep(n))
        local got, msg = conn:read_exactly(#want, WAIT)
        assert.is_true(want == got, size .. " " .. piece .. tostring(msg))
      end
    end
    conn:close()
    server:stop(1)
  end)
end)
