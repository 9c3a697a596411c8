-- SPDX-License-Identifier: MIT
-- chromium: a headless browser for specs, driven over the DevTools protocol with our own WebSocket
-- client. What it logs as an error, and every address it asks for, is kept.
local http = require "ringlet.http"
local json = require "ringlet.json_write"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"

local M = {}

local Browser = {}
Browser.__index = Browser

local function output_of(command)
  local pipe = io.popen(command)
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function first_line(path)
  local file = io.open(path)
  local line = file and file:read "*l"
  if file then file:close() end
  return line
end

--- Where it is; nil, why not.
function M.find()
  local path = output_of("command -v chromium || command -v chromium-browser"):match "%S+"
  if path then
    return path
  end
  return nil, "chromium is not installed (apt-get install chromium)"
end

-- The value of a string of a message: those of the specs have simple escapes alone.
local function unquote(text)
  return (text:gsub("\\(.)", {n = "\n", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/"}))
end

local function note(self, message)
  local method = message:match '"method":"([%w.]+)"'
  if method == "Network.requestWillBeSent" then
    self.requests[#self.requests + 1] = message:match '"request":{"url":"([^"]*)"'
  elseif method == "Runtime.exceptionThrown" or method == "Log.entryAdded"
    and message:find '"level":"error"' or method == "Runtime.consoleAPICalled"
    and message:find '"type":"error"' then
    self.errors[#self.errors + 1] = message
  end
end

--- Send a command; the text of its answer.
function Browser:command(method, args)
  self.last = self.last + 1
  rl.check(self.ws:send(json.text{id = self.last, method = method, params = args or {}}))
  while true do
    local message = rl.check(self.ws:recv(60))
    if message:find('^{"id":' .. self.last .. "[,}]") then
      return message
    end
    note(self, message)
  end
end

--- What an expression of the page gives, as text; an exception is raised.
function Browser:eval(code)
  local answer = self:command("Runtime.evaluate", {
    expression = "String(" .. code .. ")", awaitPromise = true,
  })
  if answer:find '"exceptionDetails"' then
    error(answer, 2)
  end
  return unquote(answer:match '"type":"string","value":"(.*)"}}}$' or answer)
end

--- Wait until an expression is true.
function Browser:await(code, seconds)
  local due = rl.now() + (seconds or 30)
  while self:eval(code) ~= "true" do
    if rl.now() > due then
      error("never true: " .. code .. "\n" .. self:eval "document.body.innerText.slice(0, 2000)", 2)
    end
    rl.sleep(0.05)
  end
end

local KEYS = {
  Enter = {13, "\r"}, Tab = {9, nil}, Escape = {27, nil}, [" "] = {32, " "}, ["/"] = {191, "/"},
}

--- Press and release a key.
function Browser:press(key, shift)
  local known = KEYS[key]
  for _, kind in ipairs{"keyDown", "keyUp"} do
    self:command("Input.dispatchKeyEvent", {
      type = kind, key = key, windowsVirtualKeyCode = known[1], modifiers = shift and 8 or 0,
      text = kind == "keyDown" and known[2] or nil,
    })
  end
end

--- As if somebody typed it.
function Browser:type(text)
  self:command("Input.insertText", {text = text})
end

--- Of the address: what it has loaded when this returns is for the spec to await.
function Browser:open(url)
  self.requests, self.errors = {}, {}
  self:command("Page.navigate", {url = url})
end

--- Leave it; it goes on for the next spec.
function Browser:close()
  self:command("Page.navigate", {url = "about:blank"})
  self.ws:abort()
end

-- The port that it has chosen.
local function port_of(dir)
  for _ = 1, 1200 do
    local port = first_line(dir .. "/DevToolsActivePort")
    if port and port ~= "" then
      return port
    end
    rl.sleep(0.05)
  end
  error("chromium does not answer", 0)
end

local function page_of(port)
  local where = ("http://127.0.0.1:%s/json/list"):format(port)
  for _ = 1, 1200 do
    local res = http.get(where)
    for entry in (res and res.body or ""):gmatch "{(.-)}" do
      if entry:find '"type": "page"' then
        return entry:match '"webSocketDebuggerUrl": "([^"]+)"'
      end
    end
    rl.sleep(0.05)
  end
  error("chromium has no page", 0)
end

--- Start one, as a process: {pid =, dir =}.
function M.launch()
  local path = assert(M.find())
  local dir = os.tmpname()
  os.remove(dir)
  os.execute("mkdir " .. dir)
  local pid = output_of(([[%s --headless=new --no-sandbox --disable-gpu --no-first-run ]]
    .. [[--disable-background-networking --remote-debugging-port=0 --remote-allow-origins='*' ]]
    .. [[--user-data-dir=%s --window-size=1200,1000 about:blank >/dev/null 2>&1 & echo $!]])
    :format(path, dir)):match "%d+"
  return {pid = pid, dir = dir}
end

--- End it.
function M.kill(process)
  os.execute(("kill %s 2>/dev/null; for i in $(seq 100); do "
    .. "kill -0 %s 2>/dev/null || break; sleep 0.1; done; kill -9 %s 2>/dev/null; rm -rf %s")
    :format(process.pid, process.pid, process.pid, process.dir))
end

--- The page of one that was launched. In a task, on the real kernel.
function M.connect(process)
  local self = setmetatable({last = 0, requests = {}, errors = {}}, Browser)
  self.ws = rl.check(websocket.connect(page_of(port_of(process.dir)),
    {max_message = 64 * 1024 * 1024}))
  for _, domain in ipairs{"Page", "Runtime", "Log", "Network"} do
    self:command(domain .. ".enable")
  end
  return self
end

return M
