/* SPDX-License-Identifier: MIT */
/* lwait: waking from C who waits on a wait queue of Lua's. Private to src/lua. */
#ifndef RL_LUA_LWAIT_H
#define RL_LUA_LWAIT_H

#include "lua/lshard.h"

/* A wait queue as a userdata, alone or first in a larger one: tasks that wait, tasks that offer. */
struct lwaitq {
	const void *tag;
	struct rl_waitq side[2];
	bool shut;
};

void rl_lwait_init(struct lwaitq *q);

/* The wait queue at index `i`; NULL when that is something else. */
struct lwaitq *rl_lwait_at(lua_State *L, int i);

/* End the wait of everybody on the wait queue at `index` with the values above it. */
void rl_lwait_wake_all(lua_State *L, struct rl_lua *h, int index);

/* The running task has given up its turn: rouse its backup, which it has. */
void rl_lwait_rouse_backup(struct rl_lua *h);

#endif
