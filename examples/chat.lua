-- SPDX-License-Identifier: MIT
-- A chat room in the browser, on all cores: `luajit examples/chat.lua 127.0.0.1:8080 auto` (port 0:
-- any free one; then how many shards serve: 1 unless told). Open the address it prints in two
-- windows.
--
-- Shards share nothing but what is made by `ringlet.shared`: here an inbox for each of them. What
-- somebody says goes into every inbox; on each shard a task takes it from there to those who are
-- connected there. Who reads too slowly loses the oldest lines, and nobody waits for them.
local rl = require "ringlet"
local http = require "ringlet.http"
local shared = require "ringlet.shared"

local PAGE = [[
<!doctype html>
<meta charset="utf-8">
<title>ringlet chat</title>
<style>
  body { font: 16px sans-serif; max-width: 40em; margin: 2em auto }
  #lines { height: 20em; overflow-y: auto; border: 1px solid #999; padding: .5em }
  input { width: 100%; box-sizing: border-box; margin-top: .5em; padding: .5em; font: inherit }
</style>
<div id="lines"></div>
<form><input autocomplete="off" autofocus placeholder="say something"></form>
<script>
  const lines = document.querySelector("#lines"), input = document.querySelector("input");
  const name = prompt("Your name?") || "somebody";
  const ws = new WebSocket(`ws://${location.host}/chat?${encodeURIComponent(name)}`);
  const show = (text) => {
    const line = document.createElement("div");
    line.textContent = text;
    lines.append(line);
    lines.scrollTop = lines.scrollHeight;
  };
  ws.onmessage = (event) => show(event.data);
  ws.onclose = (event) => show(`(closed: ${event.code})`);
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    if (input.value) ws.send(input.value);
    input.value = "";
  };
</script>
]]

local MOST = 64 -- lines that wait for one who reads slowly

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The handler, which travels to every shard. `here` is a copy on each: who is connected there.
local function room(inboxes)
  local here = {members = {}}

  local function publish(line)
    for i = 1, #inboxes do
      inboxes[i]:send(line)
    end
  end

  local function deliver()
    for line in inboxes[rl.shard()]:iter() do
      for outbox in pairs(here.members) do
        outbox:send(line)
      end
    end
  end

  -- One task listens to the member and to the others.
  local function serve(ws, name)
    local outbox = rl.chan(MOST, {overflow = "drop_oldest"})
    local cases = {{ws}, {outbox}}
    here.members[outbox] = true
    publish(name .. " is here")
    repeat
      local i, text = rl.select(cases)
      if i == 1 and text then
        publish(name .. ": " .. text)
      elseif i == 2 and not ws:send(text) then
        break
      end
    until not text
    here.members[outbox] = nil
    publish(name .. " has left")
  end

  return function(req, res)
    if req.path ~= "/chat" then
      res:header("Content-Type", "text/html; charset=utf-8"):send(200, PAGE)
      return
    end
    local ws = req:websocket{max_message = 4096, heartbeat = 10}
    if not ws then return end
    if not here.delivers then
      here.delivers = rl.daemon(deliver)
    end
    serve(ws, unescape(req.query or "somebody"))
  end
end

rl.run(function()
  local inboxes = {}
  for i = 1, rl.shards() do
    inboxes[i] = shared.chan(1000, {overflow = "drop_oldest"})
  end
  local server = assert(http.serve(arg[1] or "127.0.0.1:8080", room(inboxes), {shards = "all"}))
  print("http://" .. server:addr() .. "/")
  io.stdout:flush()
end, {signals = true, grace = 3, shards = tonumber(arg[2]) or arg[2] or 1})
