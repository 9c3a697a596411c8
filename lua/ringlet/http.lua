-- SPDX-License-Identifier: MIT
--- HTTP/1.1: servers and clients.
--
--     local rl, http = require "ringlet", require "ringlet.http"
--     rl.run(function()
--       local server = assert(http.serve("127.0.0.1:0", function(req, res)
--         res:header("Content-Type", "text/plain")
--         res:send(200, "hello from " .. req.path .. "\n")
--       end))
--       local res = rl.check(http.get("http://" .. server:addr() .. "/here"))
--       print(res.status, res:header "content-type", res.body)
--       server:stop()
--     end)
--
-- Times are seconds. What fails returns `nil, "ENAME: message", "ENAME"`.
-- @module ringlet.http

require "ringlet.vm"
local client = require "ringlet.http_client"
local cookies = require "ringlet.http_cookies"
local router = require "ringlet.http_router"
local server = require "ringlet.http_server"
local static = require "ringlet.http_static"

return {
  serve = server.serve,
  router = router.router,
  static = static.static,

  client = client.client,
  cookies = cookies.new,
  delete = client.delete,
  get = client.get,
  head = client.head,
  post = client.post,
  put = client.put,
  request = client.request,
  stream = client.stream,
}
