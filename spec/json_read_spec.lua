-- SPDX-License-Identifier: MIT
-- JSON text that is read; json_write_spec reads what json_write has written.
local json = require "ringlet.json_read"

describe("JSON", function()
  it("is read", function()
    local value = json.decode(' {"a": [1, -2.5e3, true, false, null, {}, []], '
      .. '"b\\n": "\\u00e9\\ud83d\\ude00\\/"} ')
    assert.same({1, -2500, true, false, nil, {}, {}}, value.a)
    assert.equal("\195\169\240\159\152\128/", value["b\n"])
    assert.equal("x", json.decode '"x"')
    assert.same({}, json.decode "{}")
  end)

  it("that is none is refused, whatever it is", function()
    for _, bad in ipairs {"", " ", "{", "[1,", "[1 2]", '{"a" 1}', "{a:1}", '"\\x"', '"abc', "nul",
      "1x", "[1]]", "-", "01", "-01", '"\n"', '"\0"', '{"a":1,"a":2}', ("["):rep(200)} do
      local value, msg = json.decode(bad)
      assert.is_nil(value, bad)
      assert.matches("^bad JSON at byte %d+: ", msg)
    end
  end)

  it("that is cut or spoilt anywhere raises nothing", function()
    local whole = '{"a":[1,-2.5e3,true,null],"b":{"c":"\\u00e9\\"x"}}'
    for i = 1, #whole - 1 do
      assert.is_nil((json.decode(whole:sub(1, i))))
      for _, c in ipairs {"\0", '"', "\\", "{", "9", "u"} do
        json.decode(whole:sub(1, i - 1) .. c .. whole:sub(i + 1))
      end
    end
  end)
end)
