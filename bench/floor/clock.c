// SPDX-License-Identifier: MIT
//
// benchclock: the clocks of the Lua benches, in seconds. wall() is CLOCK_MONOTONIC, cpu() the user
// and system time of all threads of the process.
#include <lauxlib.h>
#include <lua.h>
#include <time.h>

int luaopen_benchclock(lua_State *L);

static int push_clock(lua_State *L, clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
	return 1;
}

static int clock_wall(lua_State *L) { return push_clock(L, CLOCK_MONOTONIC); }

static int clock_cpu(lua_State *L) { return push_clock(L, CLOCK_PROCESS_CPUTIME_ID); }

int luaopen_benchclock(lua_State *L)
{
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, clock_wall);
	lua_setfield(L, -2, "wall");
	lua_pushcfunction(L, clock_cpu);
	lua_setfield(L, -2, "cpu");
	return 1;
}
