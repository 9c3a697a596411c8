-- SPDX-License-Identifier: MIT
-- resource_reference: what a pool of resources does, in plain lists and without tasks: the specs
-- compare random sequences of operations with it. Resources and openings are numbers, in the order
-- in which they were made; who acquires is a number, too, and `got` says what came of it:
-- "waiting", a resource, or a code.

local unpack = table.unpack or rawget(_G, "unpack")

local R = {}
R.__index = R

local function new(max, min_idle)
  local self = setmetatable({
    max = max, min_idle = min_idle, wanted = min_idle, closed = false, opened = 0, begun = 0,
    idle = {}, borrowed = 0, line = {}, openings = {}, closing = {}, bad = {}, got = {},
    backing_off = false,
  }, R)
  if min_idle > 0 then self:begin(false) end
  return self
end

local function index_of(list, v)
  for i, x in ipairs(list) do
    if x == v then return i end
  end
end

function R:total()
  return #self.idle + self.borrowed + #self.openings + #self.closing
end

-- The first opening for this waiter; for nobody, when it is false.
function R:opening_of(waiter)
  for _, o in ipairs(self.openings) do
    if o.waiter == waiter then return o end
  end
end

function R:spares()
  local n = 0
  for _, o in ipairs(self.openings) do
    if not o.waiter then n = n + 1 end
  end
  return n
end

function R:begin(waiter)
  self.begun = self.begun + 1
  table.insert(self.openings, {n = self.begun, waiter = waiter})
end

function R:provide(waiter)
  local spare = self:opening_of(false)
  if self:opening_of(waiter) then
    return true
  elseif spare then
    spare.waiter = waiter
    return true
  elseif self:total() < self.max then
    self:begin(waiter)
    return true
  end
end

function R:settle()
  if self.closed then return end
  for _, waiter in ipairs(self.line) do
    if not self:provide(waiter) then break end
  end
  while not self.backing_off and #self.idle + self:spares() < self.min_idle
    and self:total() < self.max do
    self:begin(false)
  end
end

-- These leave the line together; their openings go to who waits longest without one.
function R:leave(waiters, code)
  for _, waiter in ipairs(waiters) do
    table.remove(self.line, index_of(self.line, waiter))
    self.got[waiter] = code
  end
  for _, waiter in ipairs(waiters) do
    local o = self:opening_of(waiter)
    if o then
      o.waiter = false
      for _, other in ipairs(self.line) do
        if not self:opening_of(other) then
          o.waiter = other
          break
        end
      end
    end
  end
end

function R:give(res)
  if self.closed or self:total() + 1 - #self.closing > self.max then
    table.insert(self.closing, res)
  elseif self.line[1] then
    self.borrowed = self.borrowed + 1
    self:leave({self.line[1]}, res)
  else
    table.insert(self.idle, res)
  end
end

-- A good idle one, or nil.
function R:pop()
  while self.idle[1] do
    local res = table.remove(self.idle)
    if not self.bad[res] then
      self.borrowed = self.borrowed + 1
      return res
    end
    table.insert(self.closing, res)
  end
end

function R:acquire(waiter)
  local res = self:pop()
  self.got[waiter] = res or self.closed and "ECLOSED" or "waiting"
  if res then
    self:settle()
  elseif not self.closed then
    table.insert(self.line, waiter)
    self:provide(waiter)
  end
end

function R:try(waiter)
  local res = self:pop()
  self.got[waiter] = res or self.closed and "ECLOSED" or "EAGAIN"
  if res then
    self:settle()
  elseif not self.closed and self:spares() == 0 and self:total() < self.max then
    self:begin(false)
  end
end

function R:release(res, broken)
  self.borrowed = self.borrowed - 1
  if broken then
    table.insert(self.closing, res)
  else
    self:give(res)
  end
end

function R:open_ends(k, ok)
  local o = table.remove(self.openings, k)
  if ok then
    self.opened, self.backing_off = self.opened + 1, false
    self:give(self.opened)
  elseif o.waiter then
    self:leave({o.waiter}, "EX")
  elseif not self.closed and #self.idle + self:spares() < self.min_idle then
    self.backing_off = true
  end
  self:settle()
end

function R:close_ends(k)
  table.remove(self.closing, k)
  self:settle()
end

function R:trim(keep)
  for _ = 1, #self.idle - keep do
    table.insert(self.closing, table.remove(self.idle, 1))
  end
end

function R:resize(n)
  self.max, self.min_idle = n, math.min(self.wanted, n)
  self:trim(math.max(#self.idle - math.max(self:total() - #self.closing - n, 0), 0))
  self:settle()
end

function R:close()
  if not self.closed then
    self.closed, self.backing_off = true, false
    self:leave({unpack(self.line)}, "ECLOSED")
    self:trim(0)
  end
end

return new
