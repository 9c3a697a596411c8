-- SPDX-License-Identifier: MIT
-- Texts as UTF-8: what is one stays, each byte that is none is replaced.
local utf8 = require "ringlet.utf8"

local BAD = "\239\191\189"

describe("a text", function()
  it("that is UTF-8 stays as it is, with each character", function()
    local all = {}
    for n = 0, 0x10ffff do
      if n < 0xd800 or n > 0xdfff then
        all[#all + 1] = utf8.char(n)
      end
    end
    local text = table.concat(all)
    assert.equal(0x80 + 2 * 0x780 + 3 * (0x10000 - 0x800 - 0x800) + 4 * 0x100000, #text)
    assert.is_true(utf8.clean(text) == text)
    assert.equal("a\194\128\223\191\224\160\128\239\191\191\240\144\128\128\244\143\191\191",
      "a" .. utf8.char(0x80) .. utf8.char(0x7ff) .. utf8.char(0x800) .. utf8.char(0xffff)
      .. utf8.char(0x10000) .. utf8.char(0x10ffff))
  end)

  it("has its other bytes replaced", function()
    for bad, n in pairs {
      ["\128"] = 1, ["\191\191"] = 2, ["\192\128"] = 2, ["\193\191"] = 2, ["\194"] = 1,
      ["\224\159\191"] = 3, ["\237\160\128"] = 3, ["\237\191\191"] = 3, ["\226\130"] = 2,
      ["\240\143\191\191"] = 4, ["\244\144\128\128"] = 4, ["\245\128\128\128"] = 4,
      ["\240\159\152"] = 3, ["\255"] = 1, ["\254\255"] = 2,
    } do
      local want = BAD:rep(n)
      assert.equal(want, utf8.clean(bad))
      assert.equal("a" .. want .. "\195\188\0", utf8.clean("a" .. bad .. "\195\188\0"))
      assert.equal(want .. "\195\188" .. want .. "z", utf8.clean(bad .. "\195\188" .. bad .. "z"))
    end
  end)
end)
