-- SPDX-License-Identifier: MIT
-- What a breaker is, said plainly: it keeps every call of its generation with its times and counts
-- anew whenever it is asked. `now` is passed in.
local Model = {}
Model.__index = Model

-- o: {failures | rate, min_calls | slow_after, slow_rate; window, buckets | interval; open_for,
-- backoff, open_max, half_open_calls, half_open_for}
function Model.new(o, now)
  local m = setmetatable({o = o, changes = {}, reopened = 0}, Model)
  m:begin("closed", now)
  return m
end

function Model:begin(state, now, seconds)
  local from, o = self.state, self.o
  if state == "closed" then
    self.reopened = 0
  elseif state == "open" and from == "half-open" then
    self.reopened = self.reopened + 1
  end
  self.state, self.since, self.calls, self.run = state, now, {}, {good = 0, bad = 0}
  self.until_ = math.huge
  if state == "open" then
    self.until_ = now + (seconds or
      math.min((o.open_for or 60) * (o.backoff or 1) ^ self.reopened, o.open_max or math.huge))
  elseif state == "half-open" then
    self.until_ = now + (o.half_open_for or math.huge)
  elseif o.interval then
    self.until_ = now + o.interval
  end
  if from and from ~= state then
    self.changes[#self.changes + 1] = from .. ">" .. state
  end
end

function Model:age(now)
  local period = self.o.window and self.o.window / self.o.buckets
  return period and self.state == "closed" and math.floor((now - self.since) / period) or 0
end

function Model:counts(now)
  local c = {requests = 0, successes = 0, failures = 0, excluded = 0, slow = 0}
  local age = self:age(now)
  for _, call in ipairs(self.calls) do
    call.dead = call.dead or age - call.age >= (self.o.buckets or 1)
    if not call.dead then
      c.requests = c.requests + 1
      if call.result then c[call.result] = c[call.result] + 1 end
      if call.is_slow then c.slow = c.slow + 1 end
    end
  end
  self.run.bad, self.run.good = math.min(self.run.bad, c.failures),
    math.min(self.run.good, c.successes)
  c.consecutive_failures, c.consecutive_successes = self.run.bad, self.run.good
  return c
end

function Model:look(now)
  if now >= self.until_ then
    self:begin(self.state == "open" and "half-open" or self.state == "half-open" and "open"
      or "closed", now)
  end
  return self:counts(now)
end

-- A call, or nil.
function Model:allow(now)
  local c = self:look(now)
  if self.state == "open" or
    self.state == "half-open" and c.requests - c.excluded >= (self.o.half_open_calls or 1) then
    return nil
  end
  local call = {age = self:age(now), at = now, calls = self.calls}
  self.calls[#self.calls + 1] = call
  return call
end

function Model:trips(c)
  local o, ended = self.o, c.failures + c.successes
  return o.failures and c.consecutive_failures >= o.failures
    or o.rate and ended >= o.min_calls and c.failures / ended >= o.rate
    or o.slow_rate and ended >= o.min_calls and c.slow / ended >= o.slow_rate
end

function Model:done(call, ok, now)
  self:look(now)
  if call.calls ~= self.calls or call.dead or call.result then return end
  if ok == nil then
    call.result = "excluded"
    return
  end
  call.result = ok and "successes" or "failures"
  call.is_slow = self.o.slow_after and now - call.at >= self.o.slow_after
  self.run.bad, self.run.good = ok and 0 or self.run.bad + 1, ok and self.run.good + 1 or 0
  local c = self:counts(now)
  if self.state == "closed" then
    if self:trips(c) then self:begin("open", now) end
  elseif not ok or call.is_slow then
    self:begin("open", now)
  elseif c.consecutive_successes >= (self.o.half_open_calls or 1) then
    self:begin("closed", now)
  end
end

return Model
