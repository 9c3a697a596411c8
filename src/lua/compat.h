/* SPDX-License-Identifier: MIT */
/*
 * compat: the differences between LuaJIT 2.1 (Lua 5.1 API) and Lua 5.4, and nothing else. The
 * LuaJIT build also compiles against PUC 5.1 headers, which is what LuaRocks has for "Lua 5.1":
 * what those lack is declared here.
 */
#ifndef RL_LUA_COMPAT_H
#define RL_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>

#if LUA_VERSION_NUM >= 504

/* The table on top becomes the companion of the userdata at `i`: collected with it. */
static inline void rl_set_companion(lua_State *L, int i)
{
	lua_setiuservalue(L, i, 1);
}

static inline void rl_push_companion(lua_State *L, int i)
{
	lua_getiuservalue(L, i, 1);
}

/* *nresults is for a coroutine that has ended. */
static inline int rl_resume(lua_State *co, lua_State *from, int nargs, int *nresults)
{
	return lua_resume(co, from, nargs, nresults);
}

static inline size_t rl_rawlen(lua_State *L, int i)
{
	return lua_rawlen(L, i);
}

#elif LUA_VERSION_NUM == 501

#ifndef LUA_OK
#define LUA_OK 0
#endif

/* LuaJIT has it; the PUC 5.1 headers do not say so. */
extern int lua_isyieldable(lua_State *L);

static inline void rl_set_companion(lua_State *L, int i)
{
	lua_setfenv(L, i);
}

static inline void rl_push_companion(lua_State *L, int i)
{
	lua_getfenv(L, i);
}

static inline int rl_resume(lua_State *co, lua_State *from, int nargs, int *nresults)
{
	(void)from;
	int status = lua_resume(co, nargs);
	if (status == LUA_OK)
		*nresults = lua_gettop(co);
	return status;
}

static inline size_t rl_rawlen(lua_State *L, int i)
{
	return lua_objlen(L, i);
}

#else
#error "ringlet needs LuaJIT 2.1 or Lua 5.4"
#endif

#endif
