-- SPDX-License-Identifier: MIT
-- Maps, programs and links that stay: pinned in a file system of type bpf, which a mount namespace
-- of our own has.
local B = require "spec.bpf"
local H = require "spec.helper"

describe("pinning", function()
  it("keeps maps, programs and links beyond their object", function()
    if B.lacks("raw_tp", "socket_filter", "mount") then return end
    local out, ok = B.run([[
local bpf = require "ringlet.bpf"
assert(os.execute "mount -t bpf bpf /sys/fs/bpf")
local function open(maps)
  return assert(bpf.load("spec/bpf/sample.bpf.o", {programs = {"watch", "count_raw"}, maps = maps}))
end
local o = open()
local at = "/sys/fs/bpf/"
assert(o:map "things":set(1, {name = "kept"}))
assert(o:map "things":pin(at .. "things"))
assert(o:map "seen":pin(at .. "seen"))
assert(o:program "watch":pin(at .. "watch"))
assert(o:attach "count_raw":pin(at .. "link"))
print(select(3, o:map "things":pin(at .. "things")))
print(select(3, o:map "things":pin(at .. "none/things")))
print(select(3, o:map "things":pin "/tmp/x"), select(3, o:map "things":pin "x"))
o:close()
local m = assert(bpf.open_map(at .. "things"))
print(m, m:get(1).name)
local p = open{things = {pin = at .. "things"}, points = {pin = at .. "points"}}
print(p:map "things":get(1).name)
p:map "points":set({x = 1}, 5)
p:close()
print(bpf.open_map(at .. "points"):get{x = 1})
print(select(3, bpf.load("spec/bpf/sample.bpf.o", {maps = {things = {pin = "/tmp/x"}}})))
print(select(3, bpf.open_map(at .. "watch")))]], "unshare --mount")
    assert.is_true(ok, out)
    assert.equal([[
EEXIST
ENOENT
EINVAL	EINVAL
ringlet.bpf.map: things (hash, 1000 entries)	kept
kept
5
EINVAL
EINVAL
]], out)
  end)

  it("says where it can be done", function()
    if B.lacks "socket_filter" then return end
    local o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    local msg, code = select(2, o:map "things":pin "/tmp/things")
    assert.equal("EINVAL: /tmp/things is in no bpf file system (mount -t bpf bpf /sys/fs/bpf)", msg)
    assert.equal("EINVAL", code)
    H.raises_text("path: string expected, got nil", o.map(o, "things").pin, o:map "things")
    o:close()
  end)
end)
