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

/* Push the n-th value, from 1, that the userdata at `i` refers to; false: it has no more. */
static inline bool rl_push_uservalue(lua_State *L, int i, int n)
{
	if (lua_getiuservalue(L, i, n) != LUA_TNONE)
		return true;
	lua_pop(L, 1);
	return false;
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

/* Is the number at `i` an integer by type? */
static inline bool rl_is_integer(lua_State *L, int i)
{
	return lua_isinteger(L, i);
}

/* The bytecode of the function on top, with its debug information. */
static inline int rl_dump(lua_State *L, lua_Writer writer, void *p)
{
	return lua_dump(L, writer, p, 0);
}

/* Push the environment of the function or thread at `i`, if it has one that is no upvalue. */
static inline bool rl_push_environment(lua_State *L, int i)
{
	(void)L;
	(void)i;
	return false;
}

/* The table of globals, not whatever a metatable makes of it. */
static inline void rl_push_globals(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

/* Call fn(p) protected, in a state in which even making a closure may fail. */
static inline int rl_cpcall(lua_State *L, lua_CFunction fn, void *p)
{
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, p);
	return lua_pcall(L, 1, 0, 0);
}

#elif LUA_VERSION_NUM == 501

#ifndef LUA_OK
#define LUA_OK 0
#endif

#ifndef LUA_GCISRUNNING
#define LUA_GCISRUNNING 9
#endif

/* LuaJIT has these; the PUC 5.1 headers do not say so. */
extern int lua_isyieldable(lua_State *L);
extern void *lua_upvalueid(lua_State *L, int i, int n);
extern void lua_upvaluejoin(lua_State *L, int i1, int n1, int i2, int n2);

static inline int lua_isinteger(lua_State *L, int i)
{
	(void)L;
	(void)i;
	return 0;
}

static inline void rl_set_companion(lua_State *L, int i)
{
	lua_setfenv(L, i);
}

static inline void rl_push_companion(lua_State *L, int i)
{
	lua_getfenv(L, i);
}

static inline bool rl_push_uservalue(lua_State *L, int i, int n)
{
	if (n > 1)
		return false;
	lua_getfenv(L, i);
	return true;
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

static inline bool rl_is_integer(lua_State *L, int i)
{
	(void)L;
	(void)i;
	return false;
}

static inline int rl_dump(lua_State *L, lua_Writer writer, void *p)
{
	return lua_dump(L, writer, p);
}

static inline void rl_push_globals(lua_State *L)
{
	lua_pushvalue(L, LUA_GLOBALSINDEX);
}

static inline bool rl_push_environment(lua_State *L, int i)
{
	lua_getfenv(L, i);
	return true;
}

static inline int rl_cpcall(lua_State *L, lua_CFunction fn, void *p)
{
	return lua_cpcall(L, fn, p);
}

#else
#error "ringlet needs LuaJIT 2.1 or Lua 5.4"
#endif

#endif
