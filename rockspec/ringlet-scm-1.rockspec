-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "ringlet"
version = "scm-1"

source = {
  url = "git+https://example.org/ringlet/ringlet.git",
}

description = {
  summary = "Go-like tasks and channels on io_uring for LuaJIT and Lua 5.4",
  detailed = [[
ringlet gives Lua what Go has: cheap tasks, channels and select, timeouts and cancellation, and TCP
on io_uring, in a stock luajit or lua5.4. Linux 6.1 or newer.]],
  license = "MIT",
  labels = { "concurrency", "coroutine", "io_uring", "networking", "async" },
}

supported_platforms = { "linux" }

-- LuaJIT counts as 5.1. PUC Lua 5.1 cannot yield across pcall: `require "ringlet"` refuses it.
dependencies = {
  "lua >= 5.1",
}

external_dependencies = {
  LIBURING = { header = "liburing.h", library = "uring" },
}

build = {
  type = "builtin",
  modules = {
    ["ringlet.buffer"] = "lua/ringlet/buffer.lua",
    ["ringlet.cancel"] = "lua/ringlet/cancel.lua",
    ["ringlet.chan"] = "lua/ringlet/chan.lua",
    ["ringlet.deadlock"] = "lua/ringlet/deadlock.lua",
    ["ringlet.errors"] = "lua/ringlet/errors.lua",
    ["ringlet.fail"] = "lua/ringlet/fail.lua",
    ringlet = "lua/ringlet/init.lua",
    ["ringlet.map"] = "lua/ringlet/map.lua",
    ["ringlet.nest"] = "lua/ringlet/nest.lua",
    ["ringlet.net"] = "lua/ringlet/net.lua",
    ["ringlet.net_conn"] = "lua/ringlet/net_conn.lua",
    ["ringlet.net_server"] = "lua/ringlet/net_server.lua",
    ["ringlet.options"] = "lua/ringlet/options.lua",
    ["ringlet.run"] = "lua/ringlet/run.lua",
    ["ringlet.scope"] = "lua/ringlet/scope.lua",
    ["ringlet.select"] = "lua/ringlet/select.lua",
    ["ringlet.sync"] = "lua/ringlet/sync.lua",
    ["ringlet.task"] = "lua/ringlet/task.lua",
    ["ringlet.test"] = "lua/ringlet/test.lua",
    ["ringlet.time"] = "lua/ringlet/time.lua",
    ["ringlet.vm"] = "lua/ringlet/vm.lua",
    ["ringlet.core"] = {
      sources = {
        "src/base/bounded.c",
        "src/base/check.c",
        "src/base/cpus.c",
        "src/base/deque.c",
        "src/base/err.c",
        "src/base/hash.c",
        "src/base/hashring.c",
        "src/base/maglev.c",
        "src/base/md5.c",
        "src/base/mpmc.c",
        "src/base/rendezvous.c",
        "src/base/siphash.c",
        "src/base/slab.c",
        "src/base/spsc.c",
        "src/base/wheel.c",
        "src/lua/lbuffer.c",
        "src/lua/lconn.c",
        "src/lua/lnet.c",
        "src/lua/lread.c",
        "src/lua/lrun.c",
        "src/lua/lshard.c",
        "src/lua/lsignal.c",
        "src/lua/ltask.c",
        "src/lua/ltimer.c",
        "src/lua/lwait.c",
        "src/os/bufring.c",
        "src/os/os.c",
        "src/os/probe.c",
        "src/os/ring.c",
        "src/os/sim.c",
        "src/os/sim_fault.c",
        "src/os/sim_net.c",
        "src/os/sim_op.c",
        "src/os/sock.c",
        "src/os/sqe.c",
        "src/os/thread.c",
        "src/os/topology.c",
        "src/os/uring.c",
        "src/rt/addr.c",
        "src/rt/bytes.c",
        "src/rt/chunk.c",
        "src/rt/crew.c",
        "src/rt/dial.c",
        "src/rt/listener.c",
        "src/rt/net.c",
        "src/rt/out.c",
        "src/rt/resolve.c",
        "src/rt/shard.c",
        "src/rt/stream.c",
        "src/rt/task.c",
        "src/rt/value.c",
        "src/rt/wait.c",
        "src/rt/watch.c",
      },
      incdirs = { "src", "$(LIBURING_INCDIR)" },
      libdirs = { "$(LIBURING_LIBDIR)" },
      libraries = { "uring", "pthread" },
    },
  },
}

-- The tests of the source tree, under the VM that `luarocks --lua-version` names.
test = {
  type = "command",
  script = "tools/luarocks_test.lua",
}
