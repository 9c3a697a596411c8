/* SPDX-License-Identifier: MIT */
/* lsobject: what the bindings of shared objects have in common. Private to src/lua. */
#ifndef RL_LUA_LSOBJECT_H
#define RL_LUA_LSOBJECT_H

#include "lua/lcodec.h"
#include "rt/sbuffer.h"

/* Make the class of such objects, as rl_lua_shared_class does. */
void rl_lsobject_class(lua_State *L, struct rl_lua *h, enum rl_lsobject kind,
	const struct rl_shared_class *class, const luaL_Reg *methods);

/* The object of that class in argument 1; raises "<what> expected" at the caller's level. */
void *rl_lsobject_check(lua_State *L, struct rl_lua *h, enum rl_lsobject kind, const char *what);

/* Push a new object, whose only reference is taken over; raises when there is none. */
void rl_lsobject_push(lua_State *L, struct rl_lua *h, struct rl_shared *o);

/* A whole number at `arg`, exactly; `def` when it is nil. Raises "<what> must be ..." otherwise. */
int64_t rl_lsobject_integer(lua_State *L, struct rl_lua *h, int arg, int64_t def, const char *what);
/* The same where it must be there. */
int64_t rl_lsobject_need_integer(lua_State *L, struct rl_lua *h, int arg, const char *what);

/* Return nil, "ENAME: text", "ENAME". */
int rl_lsobject_fail(lua_State *L, int code, const char *text);

/* The shared buffer at `i`, NULL when that is something else. */
struct rl_sbuffer *rl_lsbuffer_test(lua_State *L, int i);

/* Each file's opener: adds its functions, and the class in a field of the table on top. */
void rl_lua_open_sdict(lua_State *L, struct rl_lua *h);
void rl_lua_open_satomic(lua_State *L, struct rl_lua *h);
void rl_lua_open_sbuffer(lua_State *L, struct rl_lua *h);
void rl_lua_open_ssync(lua_State *L, struct rl_lua *h);

#endif
