/* SPDX-License-Identifier: MIT */
/*
 * lglobal: the global variables of an object, which are ranges of its internal maps (.rodata,
 * .data, .bss), found by the names that BTF has for them. Before it is loaded they are set in
 * libbpf's copy, afterwards they are read from the map, and written one at a time through a mapping
 * of it.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct variable {
	struct bpf_map *map;
	uint32_t type, offset, size;
	bool constant; /* of .rodata */
};

/* Those of one section; false: the name is none of them. */
static bool find_in(const struct btf *btf, struct bpf_map *map, const char *name,
	struct variable *v)
{
	const struct btf_type *section = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
	if (!section || !btf_is_datasec(section))
		return false;
	for (uint16_t i = 0; i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *info = &btf_var_secinfos(section)[i];
		const struct btf_type *t = btf__type_by_id(btf, info->type);
		const char *its = t ? btf__name_by_offset(btf, t->name_off) : NULL;
		if (!its || !btf_is_var(t) || strcmp(its, name) != 0)
			continue;
		if ((uint64_t)info->offset + info->size > bpf_map__value_size(map))
			return false;
		const char *where = btf__name_by_offset(btf, section->name_off);
		*v = (struct variable){map, t->type, info->offset, info->size,
			where && strncmp(where, ".rodata", 7) == 0};
		return true;
	}
	return false;
}

static bool find(lua_State *L, const struct rl_bpf_object *of, int arg, struct variable *v)
{
	const char *name = luaL_checkstring(L, arg);
	const struct btf *btf = bpf_object__btf(of->o);
	struct bpf_map *map;
	bpf_object__for_each_map(map, of->o) {
		if (btf && bpf_map__is_internal(map) && find_in(btf, map, name, v))
			return true;
	}
	return false;
}

/* object, name -> boolean: has it such a variable? */
static int lglobal_has(lua_State *L)
{
	struct variable v;
	lua_pushboolean(L, find(L, rl_bpf_check_object(L, 1), 2, &v));
	return 1;
}

static int get_loaded(lua_State *L, const struct variable *v, const struct btf *btf)
{
	uint32_t size = bpf_map__value_size(v->map), zero = 0;
	char *section = lua_newuserdata(L, size);
	if (bpf_map_lookup_elem(bpf_map__fd(v->map), &zero, section) < 0)
		return rl_bpf_fail(L, -errno);
	rl_bpf_decode(L, btf, v->type, section + v->offset, v->size);
	return 1;
}

/* object, name -> value | nil, code (-ENOENT: it has none) */
static int lglobal_get(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct variable v;
	size_t size;
	if (!find(L, of, 2, &v))
		return rl_bpf_fail(L, -ENOENT);
	if (of->loaded)
		return get_loaded(L, &v, bpf_object__btf(of->o));
	const char *section = bpf_map__initial_value(v.map, &size);
	if (!section || v.offset + v.size > size)
		return rl_bpf_fail(L, -ENOENT);
	rl_bpf_decode(L, bpf_object__btf(of->o), v.type, section + v.offset, v.size);
	return 1;
}

/* A mapping of a loaded map is the only way to write a part of its value. */
static int set_loaded(const struct variable *v, const char *from)
{
	if (v->constant)
		return -EPERM;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = (bpf_map__value_size(v->map) + page - 1) & ~(page - 1);
	char *section = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(v->map), 0);
	if (section == MAP_FAILED)
		return -errno;
	memcpy(section + v->offset, from, v->size);
	munmap(section, len);
	return 0;
}

/* object, name, value -> true | nil, code (-EPERM: a constant of a loaded object) */
static int lglobal_set(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	const char *name = luaL_checkstring(L, 2);
	struct variable v;
	size_t size;
	if (!find(L, of, 2, &v))
		return rl_bpf_fail(L, -ENOENT);
	char *to = lua_newuserdata(L, v.size + 1);
	memset(to, 0, v.size);
	rl_bpf_encode(L, 3, bpf_object__btf(of->o), v.type, to, v.size, name);
	if (of->loaded)
		return rl_bpf_done(L, set_loaded(&v, to));
	char *section = (char *)bpf_map__initial_value(v.map, &size);
	if (!section || v.offset + v.size > size)
		return rl_bpf_fail(L, -ENOENT);
	memcpy(section + v.offset, to, v.size);
	return rl_bpf_done(L, 0);
}

static const luaL_Reg functions[] = {
	{"global_has", lglobal_has},
	{"global_get", lglobal_get},
	{"global_set", lglobal_set},
	{NULL, NULL},
};

void rl_bpf_open_global(lua_State *L)
{
	rl_bpf_register(L, functions);
}
