/* SPDX-License-Identifier: MIT */
/*
 * lstate: a fresh Lua state in which the library is loaded: what a shard, a helper thread of
 * offload and core.visit begin with.
 *
 * The state is made on the thread that will use it, from a boot record that was captured in the
 * state of whoever wants it. The record is counted, never changes, and any thread may read it.
 */
#ifndef RL_LUA_LSTATE_H
#define RL_LUA_LSTATE_H

#include "lua/lshard.h"

struct rl_lua_boot;

/* What a new state needs of this one, with one reference. `preload` is the index of a list of
 * module names, or 0. Raises when there is no memory, and on a list of anything but strings. */
struct rl_lua_boot *rl_lua_boot_capture(lua_State *L, int preload);
struct rl_lua_boot *rl_lua_boot_get(struct rl_lua_boot *boot);
void rl_lua_boot_put(struct rl_lua_boot *boot); /* NULL is fine */

/* A state with an empty stack, in these steps:
 *   1. a state of its own, with all standard libraries;
 *   2. package.path, package.cpath and arg are those of the captured state;
 *   3. luarocks.loader, where the captured state has it;
 *   4. require "ringlet";
 *   5. require of each preloaded module, in order.
 * NULL when a step fails: `err` then says which and why. lua_close ends the state. */
lua_State *rl_lua_state_new(const struct rl_lua_boot *boot, char *err, size_t err_size);

#endif
