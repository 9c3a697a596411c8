-- SPDX-License-Identifier: MIT
-- shared_chan_jit: the fast path of shared channels for LuaJIT's compiled code, which calls C by
-- the FFI at the cost of a function, where a call through the Lua API leaves the trace. What it
-- does not do - wait, and send anything but numbers and texts - the general functions do.
--
-- The C functions called so only push and pop: they never touch the Lua state. What they say is one
-- of enum rl_schan_fast; if somebody waits on the other side, the core is called to settle.

local core = require "ringlet.core"

local NOT_DONE, SETTLE = 0, 2
local NUMBER, TEXT = 4, 5

return function(Chan, NAME)
  local has_ffi, ffi = pcall(require, "ffi")
  local jit = rawget(_G, "jit")
  if not has_ffi or not jit or not jit.status() then
    return -- interpreted, the FFI is slower than the API
  end
  local bit_and, shift = require("bit").band, require("bit").rshift
  local ffi_string = ffi.string
  local settle, take, credit = core.schan_settle, core.schan_take, core.credit()
  local number_at, text_at, recv_at, anchor = core.schan_fast()
  local send_number = ffi.cast("int (*)(void *, double)", number_at)
  local send_text = ffi.cast("int (*)(void *, const char *, size_t)", text_at)
  local receive = ffi.cast("int (*)(void *, void *)", recv_at)
  local item = ffi.cast([[struct {
    union {
      struct { char few[22]; uint8_t len, kind; };
      double number;
    };
    char more[64];
  } *]], anchor)
  local send_any, recv_any = Chan.send, Chan.recv

  function Chan.send(ch, v, t)
    local left = credit[1]
    if left > 0 and getmetatable(ch) == NAME then
      local how = NOT_DONE
      if type(v) == "number" then
        how = send_number(ch, v)
      elseif type(v) == "string" then
        how = send_text(ch, v, #v)
      end
      if how ~= NOT_DONE then
        credit[1] = left - 1
        if how == SETTLE then
          settle(ch)
        end
        return true
      end
    end
    return send_any(ch, v, t)
  end

  function Chan.recv(ch, t)
    local left = credit[1]
    if left <= 0 or getmetatable(ch) ~= NAME then
      return recv_any(ch, t)
    end
    local got = receive(ch, item)
    local how, kind = bit_and(got, 255), shift(got, 8)
    if how == NOT_DONE then
      return recv_any(ch, t)
    end
    credit[1] = left - 1
    local v
    if kind == NUMBER then
      v = item.number
    elseif kind == TEXT then
      local len = item.len
      v = ffi_string(len > 22 and item.more or item.few, len)
    else
      v = take(anchor)
    end
    if how == SETTLE then
      settle(ch)
    end
    return v
  end
end
