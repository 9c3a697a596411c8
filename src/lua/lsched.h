/* SPDX-License-Identifier: MIT */
/* lsched: scheduling classes of threads as arguments. Private to src/lua. */
#ifndef RL_LUA_LSCHED_H
#define RL_LUA_LSCHED_H

#include "lua/lshard.h"
#include "os/sched.h"

/* The four arguments from `arg` on: policy, priority, nice, slice in seconds; false or nil: what
 * the thread has, or the system gives. */
struct rl_sched rl_lua_check_sched(lua_State *L, int arg);

#endif
