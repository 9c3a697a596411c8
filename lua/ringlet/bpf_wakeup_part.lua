-- SPDX-License-Identifier: MIT
-- bpf_wakeup_part: what a wake-up is on one shard: a program of its own, which knows the shard's
-- number, and maps that all shards share, opened from the descriptors of the one that made them.
--
-- What travels is the config: {nonce, fds, alive, raise, signals, entries, words, beacons}. `alive`
-- is a shared atomic, 0 when the wake-up is closed, wherever that was done; the last two name the
-- maps in which shards are told and tell: all that is made on one shard shares them.
--
-- Invariants: a part with something attached is in `used`, and so is not collected. The core reads
-- the word of one map at a time, which stays mapped as long; all parts that have it are in
-- `word.parts`. `known.box` has the words that parts made here share, while there is one: {id =,
-- maps =}.

local beacon = require "ringlet.bpf_beacon"
local bpf = require "ringlet.bpf"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local jobs = require "ringlet.jobs"
local library = require "ringlet.bpf_library".library
local run = require "ringlet.run_stop"

local M = {}

local floor = math.floor

local LINE = 64
local CLOSED = "ECLOSED: the wake-up is closed"

-- Of bpf/wakeup.h.
local SHARED = {"words", "settings", "counts", "routes", "ports", "marks", "placement", "flows",
  "owners", "beacons", "threads"}

local Part = {}
Part.__index = Part

local parts = setmetatable({}, {__mode = "v"}) -- by nonce
local used = {}
local known = setmetatable({}, {__mode = "v"})
local word

local function shard_here()
  return (core.fleet()) or 1
end

-- ---- opening and closing ------------------------------------------------------------------------

local function load(config, maps)
  local names = {"wakeup", config.signals and "wakeup_thread" or nil}
  return bpf.load(library.object "wakeup", {
    name = "wakeup", programs = names, maps = maps, globals = {shard = shard_here() - 1},
  })
end

-- Words that others have, of parts made here.
local function known_words()
  for map in pairs(known.box and known.box.maps or {}) do
    if map:fd() then
      return map, known.box.id
    end
  end
end

local function know_words(map, id)
  local box, is_known = known.box, known_words() ~= nil
  if not box or box.id ~= id then
    box = {id = id, maps = setmetatable({}, {__mode = "k"})}
    known.box = is_known and known.box or box
  end
  box.maps[map] = true
  return box
end

local function new(config, object)
  local part = setmetatable({
    config = config, object = object, shard = shard_here(), maps = {}, devices = {},
    links = setmetatable({}, {__mode = "k"}),
  }, Part)
  for _, name in ipairs(SHARED) do
    part.maps[name] = object:map(name)
  end
  parts[config.nonce] = part
  part.words = know_words(part.maps.words, config.words)
  part.beacons = config.signals and beacon.know(part.maps.beacons, config.beacons)
  return part
end

-- The first part, with maps of its own, but for the words, of which a shard has one; the config
-- gets their descriptors.
function M.create(config)
  local words, id = known_words()
  local maps = {marks = {max_entries = config.entries}, words = words and {reuse = words}}
  config.words = id or config.nonce
  if config.signals then
    local map
    map, config.beacons = beacon.known()
    maps.beacons = map and {reuse = map}
  end
  local object, msg, code = load(config, maps)
  if not object then
    return nil, msg, code
  end
  local part = new(config, object)
  config.fds = {}
  for _, name in ipairs(SHARED) do
    config.fds[name] = part.maps[name]:fd()
  end
  return part
end

local function open(config)
  local maps = {}
  for name, fd in pairs(config.fds) do
    maps[name] = {reuse = fd}
  end
  local object, msg, code = load(config, maps)
  if not object then
    return nil, msg, code
  end
  local set = object:map "settings":get(0)
  if not set or set.nonce ~= config.nonce then -- the descriptors are somebody else's by now
    object:close()
    return nil, CLOSED, "ECLOSED"
  end
  return new(config, object)
end

--- The part of this shard; it is opened if there is none.
-- @treturn table
-- @fails "ECLOSED"; as bpf.load
function M.here(config)
  if config.alive:load() == 0 then
    return nil, CLOSED, "ECLOSED"
  end
  local part = parts[config.nonce]
  if part and part.object.x then
    return part
  end
  return open(config)
end

local function drop_word()
  core.urgent(nil)
  word.area:close()
  word = nil
end

-- The shard neither hears of it any more nor shows itself for it.
local function leave(part)
  used[part] = nil
  if word and word.parts[part] then
    word.parts[part] = nil
    if not next(word.parts) then
      drop_word()
    end
  end
  if part.shown then
    part.shown = nil
    beacon.hide()
  end
end

function Part:close()
  parts[self.config.nonce] = nil
  leave(self)
  for _, object in pairs(self.devices) do
    object:close()
  end
  self.devices = {}
  self.object:close()
end

-- On another shard.
function M.close_here(nonce)
  if parts[nonce] then
    parts[nonce]:close()
  end
end

local function close_others(nonce)
  local own, size = core.fleet()
  for shard = 1, run.active and size or 0 do
    if shard ~= own then
      jobs.spawn_on(shard, M.close_here, nonce)
    end
  end
end

--- Close it on every shard. Programs that connections still have do nothing any more.
function M.close(config)
  if config.alive:exchange(0) == 0 then
    return
  end
  local part = parts[config.nonce]
  if part and part.object.x then
    part:set{nonce = config.nonce}
    part:close()
  end
  close_others(config.nonce)
end

-- The listeners are gone with the run, devices stay.
run.endings[#run.endings + 1] = function()
  for part in pairs(used) do
    part.links, part.shown = setmetatable({}, {__mode = "k"}), nil
    used[part] = next(part.devices) and true or nil
  end
  if word then
    drop_word()
  end
end

--- Those that have something attached here: a list.
function M.used()
  local list = {}
  for part in pairs(used) do
    list[#list + 1] = part
  end
  return list
end

-- ---- settings and the word ----------------------------------------------------------------------

-- true | nil, msg, code
function Part:set(settings)
  return self.maps.settings:set(0, settings)
end

-- The core reads the word of this part from now on.
local function use_word(part)
  local config = part.config
  if not config.raise or not run.active then
    return true
  end
  local id = config.words
  if word and word.id ~= id then
    return nil, "EBUSY: this shard has a wake-up that was made on another shard", "EBUSY"
  elseif not word then
    local area, msg, code = part.maps.words:mmap()
    if not area then
      return nil, msg, code
    end
    word = {id = id, area = area, parts = {}}
    core.urgent(area:address((part.shard - 1) * LINE))
  end
  word.parts[part] = true
  return true
end

-- Programs see whether this shard runs one task for long, and know its thread.
local function show(part)
  if not part.config.signals or part.shown or not run.active then
    return true
  end
  local retval, msg, code = part.object:program "wakeup_thread":run()
  if retval ~= 0 then
    return nil, msg or "EINVAL: the thread of the shard was not noted", code or "EINVAL"
  end
  retval, msg, code = beacon.show(part.maps.beacons, part.config.beacons)
  part.shown = retval
  return retval, msg, code
end

-- ---- attaching ----------------------------------------------------------------------------------

local function descriptor_of(socket)
  if type(socket) == "number" then
    return socket
  end
  return core.net_fd(socket)
end
M.descriptor_of = descriptor_of

-- The descriptor of what can be attached to | nil, msg, code.
local function check_socket(socket, filter)
  local fd, code = descriptor_of(socket)
  if not fd then
    return fail(code)
  end
  local is_tcp
  is_tcp, code = library.socket_is_tcp(fd)
  if is_tcp == nil then
    return fail(code)
  elseif filter and not is_tcp then
    return nil, "EOPNOTSUPP: not a socket of TCP, whose headers the filter reads", "EOPNOTSUPP"
  end
  return fd
end

-- `true` stands for a listener without a socket filter.
local function undo(link)
  if link ~= true then
    link:detach()
  end
end

-- Forget listeners that are closed.
local function prune(part)
  for socket, link in pairs(part.links) do
    if not descriptor_of(socket) then
      undo(link)
      part.links[socket] = nil
    end
  end
end

-- Attach to a listener of this shard, or a descriptor: true | nil, msg, code.
function Part:attach(socket, filter)
  prune(self)
  if self.links[socket] then
    return nil, "EALREADY: it has the wake-up already", "EALREADY"
  end
  local fd, msg, code = check_socket(socket, filter)
  local ok = fd
  if ok then
    ok, msg, code = use_word(self)
  end
  if ok then
    ok, msg, code = show(self)
  end
  if ok then
    ok, msg, code = self.maps.owners:set(fd, {shard = self.shard, filtered = filter and 1 or 0})
  end
  local link = ok
  if ok and filter then
    link, msg, code = self.object:attach("wakeup", {socket = socket})
  end
  if not link then
    self:rest()
    return nil, msg, code
  end
  self.links[socket], used[self] = link, true
  return true
end

function Part:detach(socket)
  local link = self.links[socket]
  if link then
    undo(link)
    self.links[socket] = nil
    local fd = descriptor_of(socket)
    if fd then
      self.maps.owners:delete(fd)
    end
  end
  self:rest()
end

-- Is anything left that needs it?
function Part:rest()
  if not next(self.links) and not next(self.devices) then
    leave(self)
  end
end

-- A device has a program of an object, with the maps of this part.
function Part:use(dev, object)
  self.devices[dev], used[self] = object, true
end

-- Have the kernel count what the socket filter costs: true | nil, msg, code.
function Part:count()
  local stats, msg, code = self.object:program "wakeup":stats()
  if not stats then
    return nil, msg, code
  end
  return true
end

-- How often the socket filter of this shard ran, and for how many ns, as far as it was counted.
function Part:cost()
  local info = library.program_info(self.object:program "wakeup":fd())
  return floor(info and info.runs or 0), floor(info and info.ns or 0)
end

-- ---- servers ------------------------------------------------------------------------------------

-- On the shard of a server's part: attach to its listener, or detach.
function M.on_part(config, key, verb, filter)
  local listener, is_inlet = require "ringlet.net_spread".listener(key)
  if not listener then
    return nil, "ECLOSED: the server has ended there", "ECLOSED"
  elseif is_inlet then
    return nil, "EOPNOTSUPP: with accept = 'handover' one shard listens, for all", "EOPNOTSUPP"
  end
  local part, msg, code = M.here(config)
  if not part then
    return nil, msg, code
  end
  return part[verb](part, listener, filter)
end

local function outcome(ok, first, ...)
  if not ok then
    error(first, 0)
  end
  return first, ...
end

local function on_shard(shard, ...)
  if shard == shard_here() then
    return M.on_part(...)
  end
  return outcome(jobs.spawn_on(shard, M.on_part, ...):join())
end

--- Detach from every shard of a server that has several. Parks.
-- @treturn true
-- @fails "ECLOSED"
function M.detach_server(config, server, upto)
  for i = 1, upto or #server.list do
    local _, msg, code = on_shard(server.list[i], config, server.key, "detach")
    if msg then
      return nil, msg, code
    end
  end
  return true
end

--- Attach on every shard of such a server, or on none. Parks.
-- @treturn true
-- @fails as `attach`
function M.attach_server(config, server, filter)
  for i, shard in ipairs(server.list) do
    local ok, msg, code = on_shard(shard, config, server.key, "attach", filter)
    if not ok then
      if code ~= "EALREADY" then
        M.detach_server(config, server, i - 1)
      end
      return nil, msg, code
    end
  end
  return true
end

return M
