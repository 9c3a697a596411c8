---@meta ringlet.http
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/http.lua
--   lua/ringlet/http_client.lua
--   lua/ringlet/http_client_response.lua
--   lua/ringlet/http_cookies.lua
--   lua/ringlet/http_request.lua
--   lua/ringlet/http_response.lua
--   lua/ringlet/http_router.lua
--   lua/ringlet/http_server.lua
--   lua/ringlet/http_static.lua

---A client, from `http.client`: options, and a pool of connections for each host. It is of one
---shard. Made outside of a run, or in one, it may be used in the next.
---@class ringlet.http_client
local http_client = {}

---A GET.
---
---Parks until the response is here with all of its body.
---
---Raises as `request`.
---@async
---@param url string "http://host:port/path?query"
---@param opts? table as of `request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `request`
---@overload fun(self: ringlet.http_client, url: string, opts?: table): nil, string, string
function http_client:get(url, opts) end

---A HEAD: the response has no body.
---
---Parks until the response is here.
---
---Raises as `request`.
---@async
---@param url string
---@param opts? table as of `request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `request`
---@overload fun(self: ringlet.http_client, url: string, opts?: table): nil, string, string
function http_client:head(url, opts) end

---A POST: `opts.body` is what is sent.
---
---Parks until the response is here with all of its body.
---
---Raises as `request`.
---@async
---@param url string
---@param opts? table as of `request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `request`
---@overload fun(self: ringlet.http_client, url: string, opts?: table): nil, string, string
function http_client:post(url, opts) end

---A PUT: `opts.body` is what is sent.
---
---Parks until the response is here with all of its body.
---
---Raises as `request`.
---@async
---@param url string
---@param opts? table as of `request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `request`
---@overload fun(self: ringlet.http_client, url: string, opts?: table): nil, string, string
function http_client:put(url, opts) end

---A DELETE.
---
---Parks until the response is here with all of its body.
---
---Raises as `request`.
---@async
---@param url string
---@param opts? table as of `request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `request`
---@overload fun(self: ringlet.http_client, url: string, opts?: table): nil, string, string
function http_client:delete(url, opts) end

---@class ringlet.http_client.request.opts
---name -> value, or a list of several; `false` removes a field that is sent otherwise
---@field headers? table
---a function gives a piece with each call, and nil at the end; nil, a message and a code fail the
---request
---@field body? string|function
---@field length? integer of the body that a function gives; without it, it goes in chunks
---@field query? string|table added to the URL's; a table as `url.query` takes it
---wait up to 1 s for the server to say that it wants the body (Expect: 100-continue) (false)
---@field expect? boolean
---@field auth? string "user:password" for Basic authentication
---@field timeout? number seconds for all of it: waiting for a connection, redirects, the body (30)
---@field acquire_timeout? number seconds to wait for a connection
---@field write_timeout? number seconds in which the server takes nothing of the request (30)
---@field first_byte_timeout? number seconds from the request to the first byte of the response
---@field read_timeout? number seconds between two pieces of the response (30)
---@field max_body? number bytes; of `stream` by default no limit (16777216)
---@field redirects? integer|boolean how many are followed; false: none (10)

---A request, its redirects followed, and the response with all of its body, which is in
---`res.body`. A status such as 404 or 500 is no failure.
---
---When the server has closed an idle connection just as the request was sent on it, an idempotent
---request is sent again on another one.
---
---Parks until the response is here with all of its body.
---
---Raises on a method, header field or option that cannot be; what the body's function raises;
---outside of a task.
---
---Source: RFC 9110, RFC 9112.
---
---`url`: "http://host:port/path?query", also with "user:password@" for Basic authentication
---
---`opts`: options of the client of the same name are taken from it by default
---
---Returns client_response.
---
---Or nil, message, "ETIMEDOUT"; "ECONNREFUSED", "ENOENT" (no such host) and others of
---`net.connect`; "EOF", "ECONNRESET", "EPIPE" when the server closes the connection without a
---response; "EPROTO" when the response is malformed or shorter than it says; "EMSGSIZE" when the
---body is larger than `max_body`; "ELOOP" for too many redirects; "EINVAL", "EPROTONOSUPPORT" for
---URLs; "ECLOSED" when the client is.
---@async
---@param method string "POST"
---@param url string
---@param opts? ringlet.http_client.request.opts
---@return ringlet.client_response|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.http_client, method, url, opts?): nil, string, string
function http_client:request(method, url, opts) end

---A request whose response is given as soon as its head is here; the body is read by `res:chunks`,
---`res:read` or `res:read_all`, and `res:close` ends it. The client's `timeout` is for the head
---alone; `opts.timeout` is for the body, too.
---
---Parks until the head of the response is here.
---
---Raises as `request`.
---@async
---@param method string "GET"
---@param url string
---@param opts? table as of `request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `request`
---@overload fun(self: ringlet.http_client, method, url, opts?): nil, string, string
function http_client:stream(method, url, opts) end

---A connection to a host through the client's proxy (CONNECT). It is the caller's, and no part of
---the pool.
---
---Parks until the proxy has answered.
---
---Raises when the client has no proxy; on text that is no address.
---
---Source: RFC 9110 section 9.3.6.
---@async
---@param addr string "host:port"
---@param t? number seconds for all of it, by default the client's `timeout` (30)
---@return ringlet.conn|nil
---@return string|nil # message
---@return string|nil # "ECONNREFUSED" when the proxy refuses it, with its status; else as `request`
---@overload fun(self: ringlet.http_client, addr: string, t?: number): nil, string, string
function http_client:tunnel(addr, t) end

---Close what is idle; what is in use is closed when it comes back. Requests fail from now on.
---Idempotent.
---
---Does not park.
---@return true
function http_client:close() end

---Close the connections that are idle now. The client goes on; the next request opens a new one.
---
---Does not park.
---@return true
function http_client:close_idle() end

---@class ringlet.http_client_stats
---@field hosts integer with which there are connections
---@field open integer connections
---@field idle integer connections
---@field busy integer connections
---@field opening integer connections that are being opened, or wait for a place
---@field waiting integer requests that wait for a connection
---@field requests integer sent, with retries and redirects
---@field opened integer connections so far, of those hosts
---@field stale integer connections that were found closed when they were to be used again
---@field retried integer requests that were sent again

---Counters.
---
---Does not park.
---@return ringlet.http_client_stats # a new table
function http_client:stats() end

---What a server has answered, from `http.get`, `http.request` and `http.stream`.
---@class ringlet.client_response
---@field status integer 200 to 599
---@field reason string what stands behind the status, which may be nothing
---@field body string|nil all of it; of a response of `http.stream` nil
---@field url string where it came from, redirects followed
local client_response = {}

---The value of a header field; of several with this name, all of them, joined by ", ".
---
---Does not park.
---
---Source: RFC 9110 section 5.3.
---@param name string in any case
---@return string|nil # nil if there is none
function client_response:header(name) end

---The values of all header fields of a name, one by one: those of Set-Cookie cannot be joined.
---
---Does not park.
---@param name string in any case
---@return table # a new list
function client_response:values(name) end

---All header fields.
---
---Does not park.
---@return table # a new table: name in lower case -> value, several joined by ", "
function client_response:headers() end

---The fields behind a body in chunks, once it was read to its end.
---
---Does not park.
---@return table # a new table: name in lower case -> value
function client_response:trailers() end

---The next piece of the body, of whatever size it came in.
---
---Parks until there is one.
---
---Returns string.
---
---Or nil, message, "EOF" at its end; "EPROTO" when it is malformed, or ends before it is complete;
---"ETIMEDOUT", "ECONNRESET", "ECLOSED".
---@async
---@param t? number seconds, by default `read_timeout`
---@return string|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.client_response, t?: number): nil, string, string
function client_response:read(t) end

---The pieces of the body, for a loop. It stops only at the end of the body: when that does not
---come it raises. A loop that is left early leaves the rest to `close`.
---
---Parks in each step, until there is a piece.
---
---Raises in a step, what `read` fails with, as `rl.check` does.
---
---```lua
---for piece in res:chunks() do file:write(piece) end
---```
---@async
---@return fun(): string
function client_response:chunks() end

---The whole body, or what `read` has left of it.
---
---Parks until it is here.
---@async
---@param max? integer bytes (16777216)
---@return string|nil
---@return string|nil # message
---@return string|nil # "EMSGSIZE" when it is longer; else as `read`
---@overload fun(self: ringlet.client_response, max?: integer): nil, string, string
function client_response:read_all(max) end

---Read no more of the body. The connection is kept if the body was read to its end, which needs no
---`close`; otherwise it ends. Idempotent; it works while cancelled.
---
---Does not park.
---@return true
function client_response:close() end

---A jar of cookies, from `http.cookies`. It is of one shard.
---@class ringlet.cookies
local cookies = {}

---Take a Set-Cookie from a response.
---
---Does not park.
---
---Raises when the URL is none.
---
---Source: RFC 6265 sections 5.2 and 5.3.
---@param from string the URL that the response is of
---@param text string the field's value
---@return boolean # whether it is obeyed: a cookie for another domain is not, for one
function cookies:set(from, text) end

---What a request for a URL takes along.
---
---Does not park.
---
---Raises when the URL is none.
---
---Source: RFC 6265 section 5.4.
---@param to string a URL
---@return string|nil # the value of the field Cookie, "a=1; b=2"; nil: nothing
function cookies:header(to) end

---What is in it, in the order in which it was set.
---
---Does not park.
---
---Returns a new list of {name=, value=, domain=, path=, host_only=, secure=, http_only=, expires=
---seconds since 1970, math.huge: with the jar}.
---@return table
function cookies:list() end

---Remove everything.
---
---Does not park.
function cookies:clear() end

---A request, given to the handler of `http.serve`. It is over when the handler has returned.
---@class ringlet.request
---@field method string "GET", "POST" and so on, as it came
---@field target string the request target, as it came
---the path of the target, as it came: percent-encoded; "*" when OPTIONS is for the whole server
---@field path string
---@field query string|nil what is behind "?" in the target, as it came
---@field host string|nil the target's authority or, without one, what the field Host says
---@field version string "1.1" or "1.0"
---@field params table|nil what the parameters of the route's pattern stand for, decoded
---@field route string|nil the route's pattern
---@field span table|nil with `trace`: the request's span
---@field rest string|nil what the "*" of the route's pattern stands for, as it came
local request = {}

---The value of a header field; of several with this name, all of them, joined by ", ".
---
---Does not park.
---
---Source: RFC 9110 section 5.3.
---@param name string in any case
---@return string|nil # nil if there is none
function request:header(name) end

---All header fields.
---
---Does not park.
---@return table # a new table: name in lower case -> value, several joined by ", "
function request:headers() end

---Say how this request's connection is used, for a server that evicts when it has too much to do;
---or ask. `conn:class` says more; it holds for the requests that follow on it as well.
---
---Does not park.
---
---Raises on another name.
---
---```lua
---if is_admin(req) then req:class "protected" end
---```
---@param name? string "short", "long" or "protected"
---@return string|nil # the class it has now
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOMEM"
---@overload fun(self: ringlet.request, name?: string): nil, string, string
function request:class(name) end

---The address of the client.
---
---Does not park.
---@return string|nil # "host:port"
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOTCONN"
---@overload fun(self: ringlet.request): nil, string, string
function request:peername() end

---The next piece of the body, of whatever size it came in.
---
---Parks until there is one.
---
---Returns nil with "EOF" at its end.
---
---Or nil, message, "EOF"; "EPROTO" when it is malformed, or ends before it is complete;
---"ETIMEDOUT", "ECONNRESET", "ECLOSED".
---@async
---@param t? number seconds, by default the server's `read_timeout`
---@return string|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.request, t?: number): nil, string, string
function request:read(t) end

---The pieces of the body, for a loop. It stops only at the end of the body: when the client gives
---up half way it raises.
---
---Parks in each step, until there is a piece.
---
---Raises in a step, what `read` fails with, as `rl.check` does.
---
---```lua
---for piece in req:chunks() do file:write(piece) end
---```
---@async
---@return fun(): string
function request:chunks() end

---The whole body.
---
---Parks until it is here.
---@async
---@param max? integer bytes (1048576)
---@return string|nil
---@return string|nil # message
---@return string|nil # "EMSGSIZE" when it is longer; else as `read`
---@overload fun(self: ringlet.request, max?: integer): nil, string, string
function request:read_all(max) end

---The parameters of the query, "?a=1&b=2&b=3".
---
---Does not park.
---
---Source: URL standard, application/x-www-form-urlencoded.
---
---Returns a new table: name -> value, decoded; a name that occurs several times has a list of
---values.
---
---Or nil, message, "EMSGSIZE" when there are more.
---@param max? integer parameters (1000)
---@return table|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.request, max?: integer): nil, string, string
function request:args(max) end

---The fields of a form in the body, of the media type application/x-www-form-urlencoded.
---
---Parks until the body is here.
---
---Source: URL standard, application/x-www-form-urlencoded.
---
---Returns as `args`.
---
---Or nil, message, "EINVAL" when the body is of another media type; "EMSGSIZE" when it is longer,
---or has more than 1000 fields; else as `read`.
---@async
---@param max? integer bytes (1048576)
---@return table|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.request, max?: integer): nil, string, string
function request:form(max) end

---The fields behind a body in chunks, once it was read to its end.
---
---Does not park.
---@return table # a new table: name in lower case -> value
function request:trailers() end

---@class ringlet.request.websocket.opts
---subprotocols that are known, the preferred one first: the first that the client offers is agreed
---on
---@field protocols? table
---whom to let in: a list of origins, which is no matter of clients that send none; or a function
---@field origin? fun(origin: string|nil, req: ringlet.request): boolean|table
---@field headers? table further header fields of the answer: name -> value
---@field max_message? integer bytes; a longer message closes it with 1009 (16777216)
---@field max_frame? integer bytes of one frame, by default `max_message`
---compress messages for clients that offer it (permessage-deflate); needs the rock ringlet-zlib
---(false)
---@field deflate? boolean|table
---@field deflate.level? integer 1 (fast) to 9 (small) (6)
---@field deflate.window? integer 9 to 15: either side looks back 2^window bytes (15)
---each message by itself, on both sides: idle sockets keep nothing (false)
---@field deflate.no_context_takeover? boolean
---@field deflate.threshold? integer bytes from which on messages are compressed (256)
---@field heartbeat? number seconds: a ping goes out that often, with the load
---seconds after which a pong is overdue: then it ends, with "ETIMEDOUT" (5)
---@field heartbeat_timeout? number
---@field load? fun(): number what a heartbeat tells the peer; by default how many bytes are queued
---@field close_timeout? number seconds that `close` waits for the peer (5)

---Make a WebSocket of it. A request that is none for one, or not from where it should be, is
---answered with 400, 403 or 426. The handler's task serves the socket: when the handler returns it
---is closed with 1000, or with 1011 when it raises.
---
---Does not park.
---
---Raises on an option it does not know, on `deflate` without its rock.
---
---Source: RFC 6455 section 4.2, RFC 7692.
---
---Returns ws.
---
---Or nil, message, "EPROTO" when it is no handshake, "EACCES" when its origin is refused,
---"EALREADY" when it was answered; "ECLOSED", "ECONNRESET" when the client has gone.
---@param opts? ringlet.request.websocket.opts
---@return ringlet.ws|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.request, opts?: ringlet.request.websocket.opts): nil, string, string
function request:websocket(opts) end

---The answer to a request, given to the handler of `http.serve`.
---@class ringlet.response
---@field status integer|boolean what was sent, false before that
local response = {}

---Set a header field, in place of what it was set to before.
---
---Does not park.
---
---Raises on a value with CR, LF or another control character; once the head was sent.
---
---Source: RFC 9110 section 5.
---@param name string
---@param value string|number
---@return ringlet.response # itself
function response:header(name, value) end

---Add a header field; several with one name may be sent, as of Set-Cookie.
---
---Does not park.
---
---Raises as `header`.
---@param name string
---@param value string|number
---@return ringlet.response # itself
function response:add_header(name, value) end

---Send the whole response.
---
---Parks while 64 KiB (`write_high_water`) are queued for the client.
---
---Source: RFC 9112 section 6.
---
---Returns true.
---
---Or nil, message, "EALREADY" when it was sent, or begun; "ECLOSED", "ECONNRESET", "EPIPE",
---"ETIMEDOUT" when the client has gone.
---@async
---@param status integer 200 to 599
---@param body? string ("")
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.response, status: integer, body?: string): nil, string, string
function response:send(status, body) end

---Send the head alone: what follows is the body, by `write`.
---
---Parks while 64 KiB are queued for the client.
---@async
---@param status? integer 200 to 599 (200)
---@param length? integer of the body; without it the body goes in chunks
---@return true|nil
---@return string|nil # message
---@return string|nil # as `send`
---@overload fun(self: ringlet.response, status?: integer, length?: integer): nil, string, string
function response:begin(status, length) end

---Send a piece of the body; the first one sends the head before it, with status 200, unless
---`begin` did.
---
---Parks while 64 KiB are queued for the client.
---
---Returns true.
---
---Or nil, message, "EMSGSIZE" when it is more than the length that was announced; else as `send`.
---@async
---@param data string
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.response, data: string): nil, string, string
function response:write(data) end

---The body ends here. Without it, it does when the handler returns.
---
---Parks while 64 KiB are queued for the client.
---
---Returns true.
---
---Or nil, message, "EMSGSIZE" when it is less than the length that was announced; else as `send`.
---@async
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.response): nil, string, string
function response:finish() end

---@class ringlet.response.send_file.opts
---@field status? integer 200 to 599 (200)
---@field offset? integer of the first byte (0)
---@field length? integer bytes; by default, up to the end of the file

---Send the whole response, with a file or a part of one as its body. Nothing of it passes through
---Lua, and whether the disk or the client is slow, the shard does not wait for it. No header field
---is set by it; `http.static` does more.
---
---Parks until the kernel has taken all of it, or the client has gone.
---
---Source: sendfile(2).
---
---Returns true.
---
---Or nil, message, before anything was sent "ENOENT", "EACCES" and what else `open(2)` says,
---"EISDIR", "EINVAL" when it is no file or has fewer bytes; later "ENODATA" when it has become
---shorter, "ETIMEDOUT" when no bytes moved for the server's `write_timeout`; else as `send`. When
---it fails half way, the connection is aborted as the handler returns..
---
---```lua
---res:header("Content-Type", "application/pdf"):send_file "report.pdf"
---```
---@async
---@param what string|integer the path of a file, or an open descriptor, which stays open
---@param opts? ringlet.response.send_file.opts
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.response, what, opts?): nil, string, string
function response:send_file(what, opts) end

---Has the client closed its side of the connection? `rl.select` takes the event. A client that
---has, and still waits for the answer, is rare: curl and browsers do not.
---
---Does not park.
---
---Raises while there is a body that was not read: what comes of it says as much.
---@return ringlet.event # set when it has; the same for every call
function response:gone() end

---How far it has come.
---
---Does not park.
---@return string # "none", "open" (its head was sent), "done", or "over"
function response:state() end

---Handlers by method and path, from `http.router`: a handler itself.
---
---A pattern is a path: "/users" is that path, "/users/:id" any user, "/files/*rest" whatever lies
---below "/files/". A parameter stands for one segment that is not empty, a wildcard for the rest,
---which may be. Of several patterns that fit, the more specific wins.
---
---HEAD is answered by the handler of GET, OPTIONS by the list of what there is; a path that exists
---for other methods gives 405.
---@class ringlet.http_router
---@field not_found function|nil answers instead of an empty 404
---@field method_not_allowed function|nil answers instead of an empty 405; Allow is set by then
local http_router = {}

---Let a function see every request before its handler, and those without one as well. It goes on
---by `next()`, or answers itself. What was added first is called first; that of a group is called
---within that of the router.
---
---Does not park.
---
---```lua
---r:use(function(req, res, next)
---  res:header("Server", "mine")
---  return next()
---end)
---```
---@param fn fun(req: ringlet.request, res: ringlet.response, next: function)
---@return ringlet.http_router # itself
function http_router:use(fn) end

---Add a route.
---
---Does not park.
---
---Raises when there is this route, or a pattern that differs only in the name of a parameter.
---@param method string "GET"; "*" is any that has no route of its own
---@param pattern string "/users/:id", "/files/*rest"
---@param handler function|table called with the request and the response; what is callable will do
---@return ringlet.http_router # itself
function http_router:handle(method, pattern, handler) end

---Add a route for GET, and for HEAD unless that has one.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:get(pattern, handler) end

---Add a route for POST.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:post(pattern, handler) end

---Add a route for PUT.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:put(pattern, handler) end

---Add a route for DELETE.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:delete(pattern, handler) end

---Add a route for PATCH.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:patch(pattern, handler) end

---Add a route for HEAD, where that of GET will not do.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:head(pattern, handler) end

---Add a route for OPTIONS, instead of the answer that lists the methods.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:options(pattern, handler) end

---Add a route for every method that has none of its own.
---
---Does not park.
---
---Raises as `handle`.
---@param pattern string
---@param handler function|table
---@return ringlet.http_router # itself
function http_router:any(pattern, handler) end

---A router for paths that begin alike, with middleware of its own; its routes are this router's.
---
---Does not park.
---@param prefix string "/api"; it may have parameters
---@param fn? fun(group: ringlet.http_router) called with it at once
---@return ringlet.http_router # the group
function http_router:group(prefix, fn) end

---Put what another handler serves below a prefix. Of a router, the routes that it has by now are
---added, with its middleware; any other handler gets every request below the prefix, and finds what
---is behind it in `req.rest`.
---
---Does not park.
---
---Raises as `handle`.
---
---```lua
---r:mount("/assets", http.static "public")
---```
---@param prefix string "/api"
---@param other ringlet.http_router|function|table
---@return ringlet.http_router # itself
function http_router:mount(prefix, other) end

---The routes, sorted by pattern and method.
---
---Does not park.
---@return table # a new list of {method=, pattern=}
function http_router:routes() end

---@class ringlet.http_router_stats
---@field routes integer
---@field requests integer all
---@field not_found integer requests for paths that have no route
---@field not_allowed integer requests for paths with routes of other methods

---What it did so far on this shard.
---
---Does not park.
---@return ringlet.http_router_stats # a new table
function http_router:stats() end

---Files below a directory, from `http.static`: a handler.
---@class ringlet.http_static
local http_static = {}

---@class ringlet.http_static_stats
---@field requests integer all
---@field sent integer answered with a file or a part of one
---@field unmodified integer answered with 304
---@field refused integer answered with 403, 404, 405 or 503

---What it did so far on this shard.
---
---Does not park.
---@return ringlet.http_static_stats # a new table
function http_static:stats() end

---HTTP/1.1: servers and clients.
---
---    local rl, http = require "ringlet", require "ringlet.http"
---    rl.run(function()
---      local server = assert(http.serve("127.0.0.1:0", function(req, res)
---        res:header("Content-Type", "text/plain")
---        res:send(200, "hello from " .. req.path .. "\n")
---      end))
---      local res = rl.check(http.get("http://" .. server:addr() .. "/here"))
---      print(res.status, res:header "content-type", res.body)
---      server:stop()
---    end)
---
---Times are seconds. What fails returns `nil, "ENAME: message", "ENAME"`.
---@class ringlet.http
local M = {}

---@class ringlet.http.client.opts
---@field timeout? number seconds for a request, with all of its redirects and the body (30)
---@field connect_timeout? number seconds for opening a connection, the lookup included (10)
---@field write_timeout? number seconds in which a server takes nothing of a request (30)
---@field first_byte_timeout? number seconds from the request to the first byte of the response
---@field read_timeout? number seconds between two pieces of a response (30)
---@field acquire_timeout? number seconds to wait for a connection
---@field max_body? number bytes of a response, but those of `stream` (16777216)
---@field redirects? integer|boolean how many are followed; false: none (10)
---@field headers? table for all requests, as those of `request`
---@field cookies? table a jar from `http.cookies`; without one, cookies are ignored
---@field proxy? string "http://user:password@host:port"
---@field proxy_auth? string "user:password" for the proxy
---hosts that are not reached through it: "a.org" and what is below it, "a.org:8080", "*"; a list,
---or separated by commas
---@field no_proxy? string|table
---the path of a Unix socket to which all connections are made, or "@name"; the host of a URL is
---what the server is told
---@field unix? string
---@field limits? table of the head of a response: {line=8192, fields=100, head=65536}
---@field idle_timeout? number seconds after which an idle connection is closed (90)
---@field reuse_within? number seconds after which an idle connection is not used again (30)
---@field max_uses? integer requests on a connection; by default no limit
---@field max_idle_per_host? integer idle connections that are kept for a host (64)
---@field max_per_host? integer connections to a host; further requests wait in line (256)
---@field max_total? integer connections; an idle one to another host is closed for a new one (1024)
---each request is a span, and its header fields hand the trace on (`ringlet.trace`) (false)
---@field trace? boolean

---A client. `http.get` and the like are methods of one that has no options of its own.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---Source: the Go package net/http, type Transport.
---@param opts? ringlet.http.client.opts
---@return ringlet.http_client
function M.client(opts) end

---A GET by the module's own client.
---
---Parks until the response is here with all of its body.
---
---Raises as `http_client:request`.
---
---```lua
---local res = rl.check(http.get "http://example.com/")
---print(res.status, res:header "content-type", #res.body)
---```
---@async
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(url: string, opts?: table): nil, string, string
function M.get(url, opts) end

---A HEAD by the module's own client.
---
---Parks until the response is here.
---
---Raises as `http_client:request`.
---@async
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(url: string, opts?: table): nil, string, string
function M.head(url, opts) end

---A POST by the module's own client: `opts.body` is what is sent.
---
---Parks until the response is here with all of its body.
---
---Raises as `http_client:request`.
---@async
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(url: string, opts?: table): nil, string, string
function M.post(url, opts) end

---A PUT by the module's own client: `opts.body` is what is sent.
---
---Parks until the response is here with all of its body.
---
---Raises as `http_client:request`.
---@async
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(url: string, opts?: table): nil, string, string
function M.put(url, opts) end

---A DELETE by the module's own client.
---
---Parks until the response is here with all of its body.
---
---Raises as `http_client:request`.
---@async
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(url: string, opts?: table): nil, string, string
function M.delete(url, opts) end

---A request by the module's own client, and the response with its body.
---
---Parks until the response is here with all of its body.
---
---Raises as `http_client:request`.
---@async
---@param method string "POST"
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(method: string, url: string, opts?: table): nil, string, string
function M.request(method, url, opts) end

---A request by the module's own client, and the response as soon as its head is here.
---
---Parks until the head of the response is here.
---
---Raises as `http_client:request`.
---
---```lua
---local res = rl.check(http.stream("GET", "http://example.com/large"))
---for piece in res:chunks() do file:write(piece) end
---```
---@async
---@param method string "GET"
---@param url string
---@param opts? table as of `http_client:request`
---@return ringlet.client_response|nil
---@return string|nil # message
---@return string|nil # as `http_client:request`
---@overload fun(method: string, url: string, opts?: table): nil, string, string
function M.stream(method, url, opts) end

---@class ringlet.http.cookies.opts
---@field max? integer cookies; then the least recently used go (3000)
---@field per_domain? integer of one domain (50)

---An empty jar for the option `cookies` of a client.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---Source: RFC 6265.
---@param opts? ringlet.http.cookies.opts
---@return ringlet.cookies
function M.cookies(opts) end

---@class ringlet.http.router.opts
---what becomes of "/users/" when there is a route for "/users" alone, and the reverse: "redirect"
---(308) or "strict" (404) ("redirect")
---@field slash? string

---Make a router.
---
---Does not park.
---
---```lua
---local r = http.router()
---r:get("/users/:id", function(req, res) res:send(200, req.params.id) end)
---http.serve("127.0.0.1:8080", r)
---```
---@param opts? ringlet.http.router.opts
---@return ringlet.http_router
function M.router(opts) end

---@class ringlet.http.serve.opts
---@field head_timeout? number seconds from the first byte of a head to its last (10)
---seconds for a handler: then it is cancelled and, if it has not answered, 503 is sent
---@field request_timeout? number
---@field max_requests? integer of a connection, which then is closed
---{target = 8000, line = 8192, fields = 100, head = 65536, body = any}: bytes of a request target,
---of a line of the head, number of fields, bytes of the head and of the body; above them 414, 431,
---431, 431 and 413
---@field limits? table
---the handler of a request without a body is cancelled when the client closes the connection
---(false)
---@field cancel_on_close? boolean
---each request has an `id`, which the answer has as X-Request-Id: the client's, else a random one,
---or what the function gives (false)
---@field request_id? boolean|function
---called after each request, with {status =, seconds =, ok = whether the handler returned}; the
---status is 499 when the client has gone without an answer
---@field on_access? fun(req: ringlet.request, res: ringlet.response, info: table)
---each request has a span, `req.span`, within the trace that its header fields name
---(`ringlet.trace`) (false)
---@field trace? boolean

---Serve HTTP/1.1. The handler is called once for each request, in a task of a crew; it may park.
---Requests of one connection are handled one after the other, also when the client sends the next
---before the last was answered. Between two requests a connection has no task.
---
---A handler that returns without an answer has status 500 sent; so has one that raises, whose error
---goes to `on_error`. Header fields that it had set are sent too, but not those about a body that
---there is none of now: Content-*, ETag, Last-Modified, Accept-Ranges, Cache-Control, Expires, Age,
---Location, Set-Cookie. If what it read of the request's body was malformed, too large, or did not
---come in time, the status is 400, 413 or 408. If it raises after the head was sent, the connection
---is reset: the client sees that the body is not whole. What it wrote when it returns is the whole
---body.
---
---What is no HTTP, more than one of the limits, or not complete `head_timeout` after it began (408)
---is answered by the server itself and never seen by the handler. The server stops as one of
---`net.serve` does: connections between two requests are closed, others with the answer under way.
---
---Parks as `net.serve`.
---
---Raises as `net.serve`; what a module raises that is loaded here.
---
---Source: RFC 9110, RFC 9112.
---
---`handler`: or the name of a module that is one, which every shard loads for itself and
---`server:reload` loads again
---
---`opts`: those of `net.serve`; by default `idle_timeout` is 75 (between two requests),
---`read_timeout` (of a piece of a body) and `write_timeout` are 30
---
---```lua
---http.serve("127.0.0.1:8080", function(req, res) res:send(200, "hello\n") end)
---```
---@async
---@param addr string "host:port"
---@param handler fun(req: ringlet.request, res: ringlet.response)|string
---@param opts? ringlet.http.serve.opts
---@return ringlet.server|nil
---@return string|nil # message
---@return string|nil # as `net.serve`
---@overload fun(addr, handler, opts?): nil, string, string
function M.serve(addr, handler, opts) end

---@class ringlet.http.static.opts
---@field index? string|boolean the file of a directory; false: none ("index.html")
---@field dotfiles? boolean serve also names that begin with a dot (false)
---send `name.gz` beside `name`, if there is one and the client takes it (false)
---@field gzip? boolean
---@field cache_control? string the value of Cache-Control
---@field types? table extension in lower case = media type, before the built-in ones
---@field default_type? string of other extensions ("application/octet-stream")
---@field not_found? function answers instead of an empty 404

---A handler that serves the files below a directory. Mounted on a router it sees the path below
---its prefix. It answers GET and HEAD, conditional requests and ranges; a request for several
---ranges that do not join is answered with the whole file. A directory gets a slash at its end
---(308), then its index.
---
---No path leaves the directory: "..", encoded or not, encoded slashes, backslashes and NUL are 404,
---and so are symbolic links that lead out of it, and those with an absolute path. Links inside are
---followed.
---
---Does not park.
---
---Raises in a request, when the directory cannot be opened.
---
---Source: RFC 9110 sections 8.8, 13 and 14; openat2(2); sendfile(2).
---
---```lua
---router:mount("/static", http.static("public", {cache_control = "max-age=3600"}))
---```
---@param dir string a path; it need not exist yet
---@param opts? ringlet.http.static.opts
---@return ringlet.http_static
function M.static(dir, opts) end

return M
