-- SPDX-License-Identifier: MIT
-- http_client_auth: the credentials that a client sends: "Basic dXNlcjpwYXNzd29yZA==".

local M = {}

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function letter(n)
  return LETTERS:sub(n + 1, n + 1)
end

-- Three bytes, of which there may be fewer at the end, as four letters.
local function encode_three(a, b, c)
  local n = a * 65536 + (b or 0) * 256 + (c or 0)
  return letter(math.floor(n / 262144)) .. letter(math.floor(n / 4096) % 64)
    .. (b and letter(math.floor(n / 64) % 64) or "=") .. (c and letter(n % 64) or "=")
end

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    out[#out + 1] = encode_three(text:byte(i, i + 2))
  end
  return table.concat(out)
end

-- Of "user:password", the value of Authorization or Proxy-Authorization (RFC 7617).
function M.basic(credentials)
  return "Basic " .. base64(credentials)
end

return M
