-- SPDX-License-Identifier: MIT
-- Lists of what is due when.
local H = require "spec.helper"
local due_list = require "ringlet.due_list"

describe("a list of what is due", function()
  it("begins with what was pushed first", function()
    local list = due_list.new()
    assert.is_nil(list:first())
    list:push(7, 1)
    list:push(3, 2)
    assert.same({7, 1}, {list:first()})
    assert.is_nil(list:due(0.9))
    assert.equal(7, list:due(1))
    list:push(7, 3)
    assert.same({3, 2}, {list:first()})
    list:remove(3)
    list:remove(3)
    assert.same({7, 3}, {list:first()})
    list:remove(7)
    assert.is_nil(list:first())
    assert.is_nil(list:due(math.huge))
  end)

  it("is in the order of a plain list, and keeps nothing of what was removed", function()
    local SEED = 20240611
    math.randomseed(SEED)
    for round = 1, H.rounds(2000, 50) do
      local list, model = due_list.new(), {}
      for t = 1, 50 do
        local i = math.random(8)
        for k, entry in ipairs(model) do
          if entry[1] == i then table.remove(model, k) break end
        end
        list:remove(i)
        if math.random(3) > 1 then
          model[#model + 1] = {i, t}
          list:push(i, t)
        end
        local first = model[1] or {}
        assert.same(first, {list:first()}, ("seed %d, round %d"):format(SEED, round))
      end
      for _, entry in ipairs(model) do
        assert.equal(entry[1], list:first())
        list:remove(entry[1])
      end
      assert.is_nil(next(list.at))
      assert.same({[0] = 0}, list.after)
      assert.same({[0] = 0}, list.before)
    end
  end)
end)
