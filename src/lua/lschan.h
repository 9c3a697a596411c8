/* SPDX-License-Identifier: MIT */
/* lschan: what select needs to know of shared channels. */
#ifndef RL_LUA_LSCHAN_H
#define RL_LUA_LSCHAN_H

#include "lua/lshard.h"
#include "rt/schan.h"

/* Add a waiter to the ticket for the shared channel at `index`: to send the value behind it, or, if
 * that is nil, to receive. Raises what cannot travel, and when there is no memory. */
void rl_lschan_add(lua_State *L, struct rl_lua *h, struct rl_ticket *k, int index, unsigned fired);

#endif
