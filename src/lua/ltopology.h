/* SPDX-License-Identifier: MIT */
/* ltopology: CPUs as Lua has them. Private to src/lua. */
#ifndef RL_LUA_LTOPOLOGY_H
#define RL_LUA_LTOPOLOGY_H

#include "lua/lshard.h"
#include "os/topology.h"

/* The list of numbers at `index` joins `out`. 0, -EINVAL: something in it is none; -ERANGE. */
int rl_lua_cpus_of_list(lua_State *L, int index, struct rl_cpus *out);

#endif
