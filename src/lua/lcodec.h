/* SPDX-License-Identifier: MIT */
/*
 * lcodec: Lua values as struct rl_value and back: what may travel from one shard to another.
 *
 * Scalars, strings of up to RL_VALUE_TEXT_MAX bytes and single shared objects lie in the value;
 * anything else becomes a parcel. Every path in an error begins with `root` ("job.args[2]").
 *
 * What raises while it encodes has made nothing. Decoding may load a module.
 */
#ifndef RL_LUA_LCODEC_H
#define RL_LUA_LCODEC_H

#include "lua/lshard.h"
#include "rt/value.h"

/* The value at `index`, which is not nil. Raises what cannot travel: with the path to it. */
void rl_lua_encode(lua_State *L, struct rl_lua *h, int index, const char *root,
	struct rl_value *out);

/* The n values from index `first` (nil among them is fine) as one parcel with one reference. The
 * i-th is called `root`[i]. Raises as above, and when there is no memory. */
struct rl_parcel *rl_lua_pack(lua_State *L, struct rl_lua *h, int first, int n, const char *root);

/* The same for a function and its arguments: "job.fn", "job.args[1]" and so on. */
struct rl_parcel *rl_lua_pack_job(lua_State *L, struct rl_lua *h, int first, int n);

/* The parcel in the userdata at `arg`, from core.parcel; borrowed. Raises on anything else. */
struct rl_parcel *rl_lua_check_parcel(lua_State *L, int arg);

/* Push the value; push all values of the parcel and return how many. Neither takes a reference
 * away. They raise what cannot be made here: a module that is not to be had, a type that is not
 * registered. */
void rl_lua_decode(lua_State *L, struct rl_lua *h, const struct rl_value *v);
int rl_lua_unpack(lua_State *L, struct rl_lua *h, const struct rl_parcel *p);

/* A userdata that holds a shared object, {struct rl_shared *}: pushes the one this state has of `o`
 * already, or a new one, which takes a reference of its own. */
void rl_lua_push_shared(lua_State *L, struct rl_lua *h, struct rl_shared *o);

/* The shared object in the value at `index`, NULL when it is none. Needs 2 stack slots. */
struct rl_shared *rl_lua_to_shared(lua_State *L, int index);

/* The metatable of the userdata of a class, left on top: with __gc, which gives the reference up,
 * and `methods` (may be NULL). Each state needs it before an object of the class comes to it. */
void rl_lua_shared_class(lua_State *L, struct rl_lua *h, const struct rl_shared_class *class,
	const luaL_Reg *methods);

/* Run by lshard.c: once for each state, and when it goes away. Expects the core table on top. */
void rl_lua_open_codec(lua_State *L, struct rl_lua *h);
void rl_lua_codec_gone(struct rl_lua *h);

#endif
