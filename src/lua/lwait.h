/* SPDX-License-Identifier: MIT */
/* lwait: waking from C who waits on a wait queue of Lua's. Private to src/lua. */
#ifndef RL_LUA_LWAIT_H
#define RL_LUA_LWAIT_H

#include "lua/lshard.h"

/* End the wait of everybody on the wait queue at `index` with the values above it. */
void rl_lwait_wake_all(lua_State *L, struct rl_lua *h, int index);

#endif
