-- SPDX-License-Identifier: MIT
-- labels: inherited by children, counted by set, and back from text.

local core = require "ringlet.core"
local labels = require "ringlet.labels"
local rl = require "ringlet"
local in_turn = require "spec.in_turn"

local function counts()
  local out, list = {}, core.labels()
  for i = 1, #list, 3 do
    if list[i + 1] > 0 then
      out[list[i]] = list[i + 1]
    end
  end
  return out
end

describe("labels", function()
  it("come back from their text, whatever is in them", function()
    local set = {a = 'x",y="z', b = "", c = "\\", d = "line\nline", ["e f"] = '\\"'}
    assert.same(set, labels.parse(labels.text(set)))
    assert.same({}, labels.parse(labels.text {}))
    assert.equal('a="1",b="true"', labels.text {b = true, a = 1})
  end)

end)

in_turn.both("labels", function(it)
  it("are those of the task that starts one, and counted", function()
    local me = rl.self()
    me:label("type", "order")
    local child = rl.go(function()
      local own = rl.self()
      own:label("step", 2)
      rl.yield()
      return own:label("type"), own:label("step"), own:label("none")
    end)
    local other = rl.go(rl.yield)
    assert.same({['type="order"'] = 3}, counts())
    rl.yield()
    assert.same({['type="order"'] = 2, ['step="2",type="order"'] = 1}, counts())
    assert.equal("order", other:label("type"))
    assert.same({true, "order", 2}, {child:join()})
    other:join()
    assert.same({['type="order"'] = 1}, counts())
    assert.equal("order", child:label("type"))
    assert.is_nil(me:label("step"))
  end)

  it("count for nothing when their task has ended", function()
    assert.same({}, counts())
  end)

  it("are of strings", function()
    local ok, err = pcall(rl.self().label, rl.self(), 1, 2)
    assert.is_false(ok)
    assert.matches("the name of a label is a string", err)
  end)

  it("take the numbers of sets that no task has", function()
    local function begun(text)
      local list = core.labels()
      for i = 1, #list, 3 do
        if list[i] == text then
          return list[i + 2]
        end
      end
      return nil
    end
    local keeper = rl.go(rl.sleep, 100)
    keeper:label("kept", "yes")
    for i = 1, 2 * 4096 do
      rl.self():label("n", i)
      if i % 100 == 0 then -- a set that is used does not lose its number
        rl.self():label("n", "often")
      end
    end
    assert.equal(2 * 4096, rl.self():label("n"))
    assert.same({['kept="yes"'] = 1, ['n="8192"'] = 1}, counts())
    assert.equal(math.floor(2 * 4096 / 100), begun 'n="often"')
    assert.is_nil(begun 'n="1"')
    assert.is_true(begun "" >= 4000)
    keeper:cancel()
  end)

  it("beyond what there are numbers for stay with their task", function()
    local tasks = {}
    for i = 1, 4200 do
      tasks[i] = rl.go(rl.sleep, 100)
      tasks[i]:label("each", i)
    end
    assert.equal(4200, tasks[4200]:label "each")
    local n = 0
    for _ in pairs(counts()) do
      n = n + 1
    end
    assert.equal(4095, n)
    for _, task in ipairs(tasks) do
      task:cancel()
    end
  end)
end)
