-- SPDX-License-Identifier: MIT
-- What every bench must reach. A row names a value that bench/run records; a target is
--   { subject, ratio, peer }  the subject's value is at most ratio times the peer's in the same run
--   { subject, max }          the subject's value is at most max, in the row's unit

local LJ, L54, GO, FLOOR = "luajit", "lua5.4", "go", "floor"

return {
  { name = "parked", title = "parked task, everything included, 1M of them",
    targets = { { LJ, 620 }, { L54, 1250 } } },
  { name = "spawn_join", title = "spawn + join, batches of 1,000",
    targets = { { LJ, 0.6, GO }, { L54, 1.2, GO } } },
  { name = "spawn_1m", title = "1M spawned at once, then joined", targets = { { LJ, 0.4, GO } } },
  { name = "yield_2", title = "yield, 2 tasks", targets = { { LJ, 0.5, GO } } },
  { name = "yield_1000", title = "yield, 1,000 tasks", targets = { { LJ, 0.5, GO } } },
  { name = "pingpong", title = "unbuffered ping-pong, round trip", targets = { { LJ, 0.7, GO } } },
  { name = "select_0", title = "select over 4, capacity 0", targets = { { LJ, 0.8, GO } } },
  { name = "select_128", title = "select over 4, capacity 128", targets = { { LJ, 0.8, GO } } },
  { name = "stream_1x1", title = "buffered 128 stream, 1x1", targets = { { LJ, 1.1, GO } } },
  { name = "stream_8x8", title = "buffered 128 stream, 8x8", targets = { { LJ, 1.1, GO } } },
  { name = "ring", title = "thread ring 503, 5M hops", targets = { { LJ, 1.0, GO } } },
  { name = "sieve", title = "prime sieve, 2,000 primes", targets = { { LJ, 1.0, GO } } },
  { name = "skynet", title = "skynet, 1M leaves", targets = { { LJ, 1.0, GO } } },
  { name = "timer_create", title = "timer create, 1M pending", targets = { { LJ, 100 } } },
  { name = "timer_cancel", title = "timer cancel, 1M pending", targets = { { LJ, 100 } } },
  { name = "timer_fire", title = "timer firing, CPU each", targets = { { LJ, 500 } } },
  { name = "sleep_wake", title = "sleeping task woken, run and ended, CPU each", targets = {} },
  { name = "echo", title = "TCP echo 64 B, 64 connections, server CPU per request",
    targets = {
      { "luajit:task", 1.08, FLOOR }, { "luajit:task", 0.85, GO },
      { "luajit:task_buffer", 1.03, FLOOR }, { "luajit:task_buffer", 0.85, GO },
      { "lua5.4:task", 1.08, FLOOR }, { "lua5.4:task", 0.85, GO },
      { "lua5.4:task_buffer", 1.03, FLOOR },
    } },
  { name = "echo16", title = "the same, 16 messages per write, per message",
    targets = {
      { "luajit:task", 1.15, FLOOR }, { "luajit:task_buffer", 1.05, FLOOR },
      { "lua5.4:task", 1.15, FLOOR }, { "lua5.4:task_buffer", 1.05, FLOOR },
    } },
  { name = "syscalls", title = "system calls per echo, 64 connections",
    targets = { { "luajit:task", 0.1 }, { "luajit:task_buffer", 0.1 } } },
  { name = "idle", title = "idle connection, user memory, 15,000 of them",
    targets = {
      { "luajit:task", 800 }, { "luajit:on_data", 500 },
      { "lua5.4:on_data", 500 },
    } },
  { name = "ticker_p99", title = "1 ms ticker beside an interpreted endless loop, p99 lateness",
    targets = { { LJ, 12 }, { L54, 12 } } },
}
