/* SPDX-License-Identifier: MIT */
/*
 * lticket: what a waiter brings home (see rt/ticket.h), as Lua values; and values that came from
 * other shards.
 */
#ifndef RL_LUA_LTICKET_H
#define RL_LUA_LTICKET_H

#include "lua/lshard.h"
#include "rt/ticket.h"

/* Push what the waiter brings: the index of its case if it has one; then nil and a code, or true,
 * or the value. One that only the codec can make is pushed as a light userdata that stands for the
 * waiter; the Lua wrapper has `taken` turn it into the value, in the task's own context, where that
 * may raise. Nothing else that travels is a light userdata. The waiter is taken over. Returns how
 * many values. */
int rl_lua_push_arrived(lua_State *L, struct rl_lua *h, struct rl_waiter *w);

/* For struct rl_vm. */
void rl_lua_arrived(void *vm, struct rl_task *t, struct rl_waiter *w);

/* Push the value, of any kind, and drop it; when this raises, the collector drops it. `text` has
 * the bytes of a RL_VALUE_TEXT that are too many for the value; else it may be NULL. */
void rl_lua_take_value(lua_State *L, struct rl_lua *h, struct rl_value *v, const char *text);

#endif
