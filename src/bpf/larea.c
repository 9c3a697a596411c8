/* SPDX-License-Identifier: MIT */
/*
 * larea: the memory of an array (BPF_F_MMAPABLE) mapped into the process: programs write it, Lua
 * reads it by a plain load, and the other way round. A mapping stays until it is closed or
 * collected, even if its map is gone; addresses taken from it are good as long.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct area {
	char *base; /* NULL: closed */
	size_t len, mapped;
	bool writable;
};

static int larea_close(lua_State *L)
{
	struct area *a = luaL_checkudata(L, 1, RL_BPF_AREA);
	char *base = a->base;
	a->base = NULL;
	if (base)
		munmap(base, a->mapped);
	return 0;
}

/* map -> area, bytes, bytes of an element | nil, code */
static int larea_open(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	size_t page = (size_t)sysconf(_SC_PAGESIZE), each = ((size_t)m->value_size + 7) & ~(size_t)7;
	if (!(m->flags & BPF_F_MMAPABLE) || m->type != BPF_MAP_TYPE_ARRAY)
		return rl_bpf_fail(L, -ENODEV);
	struct area *a = rl_bpf_new(L, RL_BPF_AREA, sizeof *a);
	a->len = each * m->max_entries;
	a->mapped = (a->len + page - 1) & ~(page - 1);
	a->writable = !(m->flags & BPF_F_RDONLY_PROG);
	char *base = mmap(NULL, a->mapped, PROT_READ | (a->writable ? PROT_WRITE : 0), MAP_SHARED,
		m->fd, 0);
	if (base == MAP_FAILED)
		return rl_bpf_fail(L, -errno);
	a->base = base;
	lua_pushinteger(L, (lua_Integer)a->len);
	lua_pushinteger(L, (lua_Integer)each);
	return 3;
}

/* At the caller of the wrapper, which has not called us as its last. */
static void raise(lua_State *L, const char *message)
{
	luaL_where(L, 2);
	lua_pushstring(L, message);
	lua_concat(L, 2);
	lua_error(L);
}

/* `size` bytes at an aligned offset. Raises. */
static char *at(lua_State *L, size_t size)
{
	struct area *a = luaL_checkudata(L, 1, RL_BPF_AREA);
	lua_Number offset = lua_isnoneornil(L, 2) ? 0 : lua_tonumber(L, 2);
	if (!a->base)
		raise(L, "the area is closed");
	if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TNUMBER)
		raise(L, "offset: number expected");
	if (!(offset >= 0 && offset + (lua_Number)size <= (lua_Number)a->len)
		|| (size_t)offset % size != 0)
		raise(L, "an aligned offset within the area expected");
	if (lua_gettop(L) > 2 && !a->writable)
		raise(L, "the area is read-only");
	return a->base + (size_t)offset;
}

/* area, [offset] -> lightuserdata */
static int larea_address(lua_State *L)
{
	lua_pushlightuserdata(L, at(L, 1));
	return 1;
}

static uint64_t check64(lua_State *L, int arg)
{
	uint64_t v = 0;
	if (!rl_bpf_to64(L, arg, &v))
		raise(L, "whole number expected");
	return v;
}

/* area, offset, [value] -> value: read, or written */
static int larea_u64(lua_State *L)
{
	uint64_t *p = (uint64_t *)at(L, sizeof *p);
	if (lua_gettop(L) > 2)
		__atomic_store_n(p, check64(L, 3), __ATOMIC_RELEASE);
	rl_bpf_push64(L, __atomic_load_n(p, __ATOMIC_ACQUIRE), false);
	return 1;
}

static int larea_u32(lua_State *L)
{
	uint32_t *p = (uint32_t *)at(L, sizeof *p);
	if (lua_gettop(L) > 2)
		__atomic_store_n(p, (uint32_t)check64(L, 3), __ATOMIC_RELEASE);
	lua_pushinteger(L, (lua_Integer)__atomic_load_n(p, __ATOMIC_ACQUIRE));
	return 1;
}

static const luaL_Reg functions[] = {
	{"area_open", larea_open},
	{"area_address", larea_address},
	{"area_u64", larea_u64},
	{"area_u32", larea_u32},
	{"area_close", larea_close},
	{NULL, NULL},
};

void rl_bpf_open_area(lua_State *L)
{
	rl_bpf_class(L, RL_BPF_AREA, larea_close);
	rl_bpf_register(L, functions);
}
