/* SPDX-License-Identifier: MIT */
/*
 * lbpf: the library's table, and what its files share: codes, handles, integers of 64 bits, and
 * what libbpf has to say.
 *
 * libbpf prints through one function of the whole process. Ours keeps the end of it for the thread
 * that made it say so; `log` takes it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "bpf/lbpf.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX 4096
#define EXACT 9007199254740992.0 /* 2^53 */

/* What libbpf has said on this thread. */
static _Thread_local struct {
	char text[LOG_MAX];
	size_t len;
} said;

static int listen_to(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text;
	if (level == LIBBPF_DEBUG)
		return 0;
	int len = vasprintf(&text, format, args);
	if (len < 0)
		return 0;
	size_t n = (size_t)len < LOG_MAX ? (size_t)len : LOG_MAX;
	size_t kept = said.len + n <= LOG_MAX ? said.len : LOG_MAX - n;
	memmove(said.text, said.text + said.len - kept, kept);
	memcpy(said.text + kept, text + (size_t)len - n, n);
	said.len = kept + n;
	free(text);
	return 0;
}

/* log() -> what libbpf has said on this thread since it was asked last */
static int lbpf_log(lua_State *L)
{
	lua_pushlstring(L, said.text, said.len);
	said.len = 0;
	return 1;
}

int rl_bpf_fail(lua_State *L, int code)
{
	lua_pushnil(L);
	lua_pushinteger(L, code);
	return 2;
}

int rl_bpf_done(lua_State *L, int code)
{
	if (code < 0)
		return rl_bpf_fail(L, code);
	lua_pushboolean(L, 1);
	return 1;
}

void rl_bpf_class(lua_State *L, const char *name, lua_CFunction close)
{
	luaL_newmetatable(L, name);
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}

void rl_bpf_register(lua_State *L, const luaL_Reg *functions)
{
	for (const luaL_Reg *r = functions; r->name; r++) {
		lua_pushcfunction(L, r->func);
		lua_setfield(L, -2, r->name);
	}
}

void rl_bpf_field(lua_State *L, const char *name, lua_Integer n)
{
	lua_pushinteger(L, n);
	lua_setfield(L, -2, name);
}

void *rl_bpf_new(lua_State *L, const char *name, size_t size)
{
	void *x = lua_newuserdata(L, size);
	memset(x, 0, size);
	luaL_getmetatable(L, name);
	lua_setmetatable(L, -2);
	return x;
}

int rl_bpf_fd(lua_State *L, int arg)
{
	lua_Number n = luaL_checknumber(L, arg);
	if (!(n >= 0 && n <= INT32_MAX))
		luaL_argerror(L, arg, "descriptor expected");
	return (int)n;
}

#if LUA_VERSION_NUM >= 504

void rl_bpf_push64(lua_State *L, uint64_t v, bool is_signed)
{
	(void)is_signed;
	lua_pushinteger(L, (lua_Integer)v);
}

bool rl_bpf_to64(lua_State *L, int i, uint64_t *v)
{
	int is_one;
	*v = (uint64_t)lua_tointegerx(L, i, &is_one);
	return is_one && lua_type(L, i) == LUA_TNUMBER;
}

#else

#define CDATA 10 /* the type of the ffi's values */

/* make64(low, high, signed) and split64(v) -> low, high | nothing, by lua/ringlet/bpf_wide.lua. */
static void push_wide(lua_State *L, const char *name)
{
	lua_getfield(L, LUA_REGISTRYINDEX, RL_BPF_OBJECT);
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
}

void rl_bpf_push64(lua_State *L, uint64_t v, bool is_signed)
{
	double n = is_signed ? (double)(int64_t)v : (double)v;
	if (n <= EXACT && n >= -EXACT) {
		lua_pushnumber(L, n);
		return;
	}
	luaL_checkstack(L, 5, NULL);
	push_wide(L, "make64");
	lua_pushnumber(L, (double)(uint32_t)v);
	lua_pushnumber(L, (double)(v >> 32));
	lua_pushboolean(L, is_signed);
	lua_call(L, 3, 1);
}

static bool split_wide(lua_State *L, int i, uint64_t *v)
{
	luaL_checkstack(L, 4, NULL);
	lua_pushvalue(L, i);
	push_wide(L, "split64");
	lua_insert(L, -2);
	lua_call(L, 1, 2);
	bool is_one = lua_isnumber(L, -1);
	*v = (uint64_t)lua_tonumber(L, -2) | (uint64_t)lua_tonumber(L, -1) << 32;
	lua_pop(L, 2);
	return is_one;
}

bool rl_bpf_to64(lua_State *L, int i, uint64_t *v)
{
	if (lua_type(L, i) == CDATA)
		return split_wide(L, i, v);
	if (lua_type(L, i) != LUA_TNUMBER)
		return false;
	double n = lua_tonumber(L, i);
	if (!(n > -9223372036854775809.0 && n < 18446744073709551616.0))
		return false;
	*v = n < 0 ? (uint64_t)(int64_t)n : (uint64_t)n;
	return n < 0 ? (double)(int64_t)n == n : (double)*v == n;
}

#endif

/* wide(make64, split64): how integers beyond 2^53 are made and read, where numbers are doubles */
static int lbpf_wide(lua_State *L)
{
	luaL_getmetatable(L, RL_BPF_OBJECT);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, "make64");
	lua_pushvalue(L, 2);
	lua_setfield(L, -2, "split64");
	return 0;
}

/* The version in the name of the library's file, which is more than libbpf says of itself. */
static void push_version(lua_State *L)
{
	char path[PATH_MAX];
	Dl_info info;
	const char *at = dladdr((void *)libbpf_version_string, &info) && realpath(info.dli_fname, path)
		? strstr(path, ".so.") : NULL;
	lua_pushstring(L, at ? at + 4 : libbpf_version_string() + 1);
}

/* cpus() -> how many values an entry of a per-CPU map has | nil, code */
static int lbpf_cpus(lua_State *L)
{
	int n = libbpf_num_possible_cpus();
	if (n < 0)
		return rl_bpf_fail(L, n);
	lua_pushinteger(L, n);
	return 1;
}

static const luaL_Reg functions[] = {
	{"log", lbpf_log},
	{"wide", lbpf_wide},
	{"cpus", lbpf_cpus},
	{NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_ringlet_bpf_core(lua_State *L);

int luaopen_ringlet_bpf_core(lua_State *L)
{
	libbpf_set_print(listen_to);
	lua_newtable(L);
	rl_bpf_register(L, functions);
	rl_bpf_open_object(L);
	rl_bpf_open_global(L);
	rl_bpf_open_map(L);
	rl_bpf_open_area(L);
	rl_bpf_open_process(L);
	rl_bpf_open_clsact(L);
	rl_bpf_open_ring(L);
	rl_bpf_open_type(L);
	rl_bpf_open_program(L);
	rl_bpf_open_link(L);
	rl_bpf_open_socket(L);
	rl_bpf_open_embedded(L);
	push_version(L);
	lua_setfield(L, -2, "libbpf");
	return 1;
}
