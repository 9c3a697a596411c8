-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "ringlet-bpf"
version = "scm-1"

source = {
  url = "git+https://example.org/ringlet/ringlet.git",
}

description = {
  summary = "eBPF for ringlet: load programs, read maps and ring buffers, steer and measure",
  detailed = [[
Loads CO-RE objects through libbpf, gives their maps and ring buffers to tasks, and has programs of
its own: they see critical requests early, place connections on shards, and measure the kernel's
part.]],
  license = "MIT",
  labels = { "ebpf", "bpf", "linux", "observability" },
}

supported_platforms = { "linux" }

dependencies = {
  "lua >= 5.1",
  "ringlet",
}

external_dependencies = {
  BPF = { header = "bpf/libbpf.h", library = "bpf" },
}

build = {
  type = "builtin",
  modules = {
    ["ringlet.bpf"] = "lua/ringlet/bpf.lua",
    ["ringlet.bpf_area"] = "lua/ringlet/bpf_area.lua",
    ["ringlet.bpf_beacon"] = "lua/ringlet/bpf_beacon.lua",
    ["ringlet.bpf_clsact"] = "lua/ringlet/bpf_clsact.lua",
    ["ringlet.bpf_fail"] = "lua/ringlet/bpf_fail.lua",
    ["ringlet.bpf_library"] = "lua/ringlet/bpf_library.lua",
    ["ringlet.bpf_link"] = "lua/ringlet/bpf_link.lua",
    ["ringlet.bpf_map"] = "lua/ringlet/bpf_map.lua",
    ["ringlet.bpf_metrics"] = "lua/ringlet/bpf_metrics.lua",
    ["ringlet.bpf_object"] = "lua/ringlet/bpf_object.lua",
    ["ringlet.bpf_pin"] = "lua/ringlet/bpf_pin.lua",
    ["ringlet.bpf_prefix"] = "lua/ringlet/bpf_prefix.lua",
    ["ringlet.bpf_probe"] = "lua/ringlet/bpf_probe.lua",
    ["ringlet.bpf_program"] = "lua/ringlet/bpf_program.lua",
    ["ringlet.bpf_ring"] = "lua/ringlet/bpf_ring.lua",
    ["ringlet.bpf_steer"] = "lua/ringlet/bpf_steer.lua",
    ["ringlet.bpf_steer_handles"] = "lua/ringlet/bpf_steer_handles.lua",
    ["ringlet.bpf_steer_memory"] = "lua/ringlet/bpf_steer_memory.lua",
    ["ringlet.bpf_steer_rules"] = "lua/ringlet/bpf_steer_rules.lua",
    ["ringlet.bpf_steer_seat"] = "lua/ringlet/bpf_steer_seat.lua",
    ["ringlet.bpf_wakeup"] = "lua/ringlet/bpf_wakeup.lua",
    ["ringlet.bpf_wakeup_dev"] = "lua/ringlet/bpf_wakeup_dev.lua",
    ["ringlet.bpf_wakeup_part"] = "lua/ringlet/bpf_wakeup_part.lua",
    ["ringlet.bpf_wakeup_place"] = "lua/ringlet/bpf_wakeup_place.lua",
    ["ringlet.bpf_wakeup_routes"] = "lua/ringlet/bpf_wakeup_routes.lua",
    ["ringlet.bpf_wide"] = "lua/ringlet/bpf_wide.lua",
    ["ringlet.bpf_core"] = {
      sources = {
        "src/bpf/larea.c",
        "src/bpf/lbpf.c",
        "src/bpf/lbtf.c",
        "src/bpf/lclsact.c",
        "src/bpf/lelf.c",
        "src/bpf/lembed.c",
        "src/bpf/lglobal.c",
        "src/bpf/llink.c",
        "src/bpf/lmap.c",
        "src/bpf/lobject.c",
        "src/bpf/lprocess.c",
        "src/bpf/lprogram.c",
        "src/bpf/lring.c",
        "src/bpf/lsocket.c",
        "src/bpf/ltype.c",
      },
      incdirs = { "src", "$(BPF_INCDIR)" },
      libdirs = { "$(BPF_LIBDIR)" },
      libraries = { "bpf" },
    },
  },
}
