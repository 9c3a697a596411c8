-- SPDX-License-Identifier: MIT
-- Fetch several URLs at a time: `luajit examples/http_get.lua http://a.example/ http://b.example/`.
-- At most 4 requests run together, each for at most 5 s; a line for each comes when it is done.
-- What fails does so for itself: the exit code is 1 if anything did.
--
-- Bodies are counted as they come and not kept, so it does not matter how large they are.
local rl = require "ringlet"
local http = require "ringlet.http"

local AT_A_TIME, SECONDS = 4, 5

-- Status and bytes; or nil, a message.
local function fetch(client, url)
  local res, msg = client:stream("GET", url, {timeout = SECONDS})
  if not res then
    return nil, msg
  end
  local size = 0
  while true do
    local piece, why, code = res:read()
    if not piece then
      return code == "EOF" and res.status or nil, code == "EOF" and size or why
    end
    size = size + #piece
  end
end

local function show(client, url)
  local from = rl.now()
  local status, size = fetch(client, url)
  if status then
    print(("%d  %8d bytes  %.2f s  %s"):format(status, size, rl.now() - from, url))
  else
    print(("failed after %.2f s  %s  (%s)"):format(rl.now() - from, url, size))
  end
  return status ~= nil and status < 400
end

local all_well = rl.run(function()
  if #arg == 0 then
    error("usage: http_get.lua URL...", 0)
  end
  local client, failures = http.client{connect_timeout = 3, first_byte_timeout = SECONDS}, 0
  rl.scope(function(scope)
    for _, url in ipairs(arg) do
      scope:go(function()
        if not show(client, url) then
          failures = failures + 1
        end
      end)
    end
  end, {limit = AT_A_TIME})
  client:close()
  return failures == 0
end)
os.exit(all_well and 0 or 1)
