/* SPDX-License-Identifier: MIT */
/* ltrace: recordings from Lua. Private to src/lua. */
#ifndef RL_LUA_LTRACE_H
#define RL_LUA_LTRACE_H

#include "lua/lshard.h"

/* A task is about to be made of the function below the n values on top: note where that was
 * defined. While something is recorded. */
void rl_lua_trace_site(lua_State *L, struct rl_lua *h, int n);

#endif
