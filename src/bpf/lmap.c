/* SPDX-License-Identifier: MIT */
/*
 * lmap: maps: reading and writing entries, one or many at a time, by type or as bytes.
 *
 * A handle has a descriptor of its own, so what it does after its object was closed fails, and
 * never reaches another map. Of a per-CPU map a value is a list, as long as there are possible
 * CPUs.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SMALL 512       /* bytes of a key or value that need no allocation */
#define BATCH_MAX 65536 /* entries at a time */
#define BATCH_BYTES_MAX (64u << 20)

static int lmap_close(lua_State *L)
{
	struct rl_bpf_map *m = luaL_checkudata(L, 1, RL_BPF_MAP);
	int fd = m->fd;
	m->fd = -1;
	if (fd >= 0)
		close(fd);
	rl_bpf_put(m->of);
	btf__free(m->own_btf);
	m->of = NULL;
	m->own_btf = NULL;
	return 0;
}

struct rl_bpf_map *rl_bpf_check_map(lua_State *L, int arg)
{
	struct rl_bpf_map *m = luaL_checkudata(L, arg, RL_BPF_MAP);
	if (m->fd < 0)
		luaL_error(L, "the map is closed");
	return m;
}

const struct btf *rl_bpf_map_btf(const struct rl_bpf_map *m)
{
	return m->of && m->of->o ? bpf_object__btf(m->of->o) : m->own_btf;
}

static struct rl_bpf_map *new_map(lua_State *L)
{
	struct rl_bpf_map *m = rl_bpf_new(L, RL_BPF_MAP, sizeof *m);
	m->fd = -1;
	return m;
}

static bool is_per_cpu(uint32_t type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY
		|| type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

/* The kernel describes a program to who takes it for a map. */
static bool is_map(int fd)
{
	char path[64], to[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, to, sizeof to - 1);
	to[n > 0 ? n : 0] = '\0';
	return n <= 0 || strcmp(to, "anon_inode:bpf-map") == 0;
}

/* Take a descriptor into the handle, which owns it; what is known of the map. 0 or -errno. */
static int adopt(struct rl_bpf_map *m, int fd)
{
	struct bpf_map_info info;
	__u32 len = sizeof info;
	memset(&info, 0, sizeof info);
	m->fd = fd;
	if (!is_map(fd))
		return -EINVAL;
	int err = bpf_obj_get_info_by_fd(fd, &info, &len);
	m->type = info.type;
	m->key_size = info.key_size;
	m->value_size = info.value_size;
	m->max_entries = info.max_entries;
	m->flags = info.map_flags;
	m->per_cpu = is_per_cpu(info.type);
	if (!m->of && err == 0 && info.btf_id > 0) {
		m->own_btf = btf__load_from_kernel_by_id(info.btf_id);
		m->key_type = m->own_btf ? info.btf_key_type_id : RL_BPF_RAW;
		m->value_type = m->own_btf ? info.btf_value_type_id : RL_BPF_RAW;
	}
	return err < 0 ? err : 0;
}

/* object, name, type of keys, of values -> map | nil, code */
static int lmap_of(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_map *from = bpf_object__find_map_by_name(of->o, luaL_checkstring(L, 2));
	uint32_t key_type = (uint32_t)luaL_checknumber(L, 3);
	uint32_t value_type = (uint32_t)luaL_checknumber(L, 4);
	int fd = from ? bpf_map__fd(from) : -ENOENT;
	if (fd < 0)
		return rl_bpf_fail(L, fd);
	struct rl_bpf_map *m = new_map(L);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return rl_bpf_fail(L, -errno);
	m->of = rl_bpf_get(of);
	m->key_type = key_type;
	m->value_type = value_type;
	int err = adopt(m, fd);
	return err < 0 ? rl_bpf_fail(L, err) : 1;
}

/* A path where one is pinned, or a descriptor of one -> map | nil, code */
static int lmap_open(lua_State *L)
{
	const char *path = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
	int from = path ? -1 : rl_bpf_fd(L, 1);
	struct rl_bpf_map *m = new_map(L);
	int fd = path ? bpf_obj_get(path) : fcntl(from, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return rl_bpf_fail(L, -errno);
	int err = adopt(m, fd);
	return err < 0 ? rl_bpf_fail(L, err) : 1;
}

/* map, type of keys, of values: RL_BPF_UINT where they are plain numbers */
static int lmap_set_types(lua_State *L)
{
	struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	m->key_type = (uint32_t)luaL_checknumber(L, 2);
	m->value_type = (uint32_t)luaL_checknumber(L, 3);
	return 0;
}

/* map -> {type=, key_size=, value_size=, max_entries=, flags=, key_type=, value_type=, fd=,
 * per_cpu=} */
static int lmap_info(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	lua_newtable(L);
	rl_bpf_field(L, "type", m->type);
	rl_bpf_field(L, "key_size", m->key_size);
	rl_bpf_field(L, "value_size", m->value_size);
	rl_bpf_field(L, "max_entries", m->max_entries);
	rl_bpf_field(L, "flags", m->flags);
	rl_bpf_field(L, "key_type", m->key_type);
	rl_bpf_field(L, "value_type", m->value_type);
	rl_bpf_field(L, "fd", m->fd);
	lua_pushboolean(L, m->per_cpu);
	lua_setfield(L, -2, "per_cpu");
	return 1;
}

/* ---- one entry ------------------------------------------------------------------------------- */

static uint32_t stride(const struct rl_bpf_map *m)
{
	return (m->value_size + 7) & ~7u;
}

/* How large a value is here. Raises when the kernel does not tell how many CPUs there are. */
static size_t room_of(lua_State *L, const struct rl_bpf_map *m)
{
	if (!m->per_cpu)
		return m->value_size;
	int n = libbpf_num_possible_cpus();
	if (n <= 0)
		luaL_error(L, "no list of possible CPUs");
	return (size_t)n * stride(m);
}

/* Zeroed memory: `small`, if that is enough, or the collector's, which stays on the stack. */
static char *room(lua_State *L, char *small, size_t size)
{
	char *p = size <= SMALL ? small : lua_newuserdata(L, size);
	memset(p, 0, size);
	return p;
}

static void push_value(lua_State *L, const struct rl_bpf_map *m, const char *from, bool raw)
{
	const struct btf *btf = rl_bpf_map_btf(m);
	uint32_t type = raw ? RL_BPF_RAW : m->value_type;
	if (!m->per_cpu) {
		rl_bpf_decode(L, btf, type, from, m->value_size);
		return;
	}
	int n = libbpf_num_possible_cpus();
	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		rl_bpf_decode(L, btf, type, from + (size_t)i * stride(m), m->value_size);
		lua_rawseti(L, -2, i + 1);
	}
}

static void take_value(lua_State *L, int i, const struct rl_bpf_map *m, char *to, bool raw)
{
	const struct btf *btf = rl_bpf_map_btf(m);
	uint32_t type = raw ? RL_BPF_RAW : m->value_type;
	if (!m->per_cpu) {
		rl_bpf_encode(L, i, btf, type, to, m->value_size, "value");
		return;
	}
	int n = libbpf_num_possible_cpus();
	if (lua_type(L, i) != LUA_TTABLE || rl_rawlen(L, i) > (size_t)n)
		luaL_error(L, "value must be a list of at most %d, one for each CPU", n);
	int have = (int)rl_rawlen(L, i);
	for (int k = 0; k < have; k++) {
		lua_rawgeti(L, i, k + 1);
		rl_bpf_encode(L, lua_gettop(L), btf, type, to + (size_t)k * stride(m), m->value_size,
			"value");
		lua_pop(L, 1);
	}
}

/* Queues, stacks and filters have no keys. */
static const char *take_key(lua_State *L, int i, const struct rl_bpf_map *m, char *to, bool raw)
{
	if (m->key_size == 0)
		return NULL;
	rl_bpf_encode(L, i, rl_bpf_map_btf(m), raw ? RL_BPF_RAW : m->key_type, to, m->key_size, "key");
	return to;
}

/* map, key, raw? , take it out? -> value | nil, code */
static int lmap_get(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	bool raw = lua_toboolean(L, 3), takes = lua_toboolean(L, 4);
	char small_key[SMALL], small[SMALL];
	lua_settop(L, 4);
	const char *key = take_key(L, 2, m, room(L, small_key, m->key_size), raw);
	char *value = room(L, small, room_of(L, m));
	int err = takes ? bpf_map_lookup_and_delete_elem(m->fd, key, value)
		: bpf_map_lookup_elem(m->fd, key, value);
	if (err < 0)
		return rl_bpf_fail(L, -errno);
	push_value(L, m, value, raw);
	return 1;
}

/* map, key, value, flags, raw? -> true | nil, code */
static int lmap_set(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	uint64_t flags = (uint64_t)luaL_optnumber(L, 4, 0);
	bool raw = lua_toboolean(L, 5);
	char small_key[SMALL], small[SMALL];
	lua_settop(L, 5);
	const char *key = take_key(L, 2, m, room(L, small_key, m->key_size), raw);
	char *value = room(L, small, room_of(L, m));
	take_value(L, 3, m, value, raw);
	return rl_bpf_done(L, bpf_map_update_elem(m->fd, key, value, flags) < 0 ? -errno : 0);
}

/* map, key, raw? -> true | nil, code */
static int lmap_delete(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	char small_key[SMALL];
	lua_settop(L, 3);
	const char *key = take_key(L, 2, m, room(L, small_key, m->key_size), lua_toboolean(L, 3));
	return rl_bpf_done(L, bpf_map_delete_elem(m->fd, key) < 0 ? -errno : 0);
}

/* map, bytes of a key | nil -> bytes of the next one | nil, code */
static int lmap_next(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	size_t len;
	const char *key = luaL_optlstring(L, 2, NULL, &len);
	char small_key[SMALL];
	if (key && len != m->key_size)
		return luaL_argerror(L, 2, "the key has another size");
	char *next = room(L, small_key, m->key_size);
	if (bpf_map_get_next_key(m->fd, key, next) < 0)
		return rl_bpf_fail(L, -errno);
	lua_pushlstring(L, next, m->key_size);
	return 1;
}

/* map, bytes of a key -> key */
static int lmap_key(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	if (len != m->key_size)
		return luaL_argerror(L, 2, "the key has another size");
	rl_bpf_decode(L, rl_bpf_map_btf(m), m->key_type, bytes, m->key_size);
	return 1;
}

/* ---- many entries ---------------------------------------------------------------------------- */

struct batch {
	char *keys, *values;
	size_t value_room;
	__u32 n;
};

/* Room for n entries, the collector's. Leaves two values on the stack. */
static void batch_room(lua_State *L, const struct rl_bpf_map *m, struct batch *b, lua_Number n)
{
	b->value_room = m->per_cpu ? room_of(L, m) : m->value_size;
	size_t each = m->key_size + b->value_room;
	if (!(n >= 1) || n > BATCH_MAX || (size_t)n * each > BATCH_BYTES_MAX)
		luaL_error(L, "a batch of 1 to %d entries and at most 64 MiB", BATCH_MAX);
	b->n = (__u32)n;
	b->keys = lua_newuserdata(L, (size_t)b->n * m->key_size + 1);
	b->values = lua_newuserdata(L, (size_t)b->n * b->value_room + 1);
	memset(b->keys, 0, (size_t)b->n * m->key_size);
	memset(b->values, 0, (size_t)b->n * b->value_room);
}

/* map, cursor | nil, most entries, raw?, take them out? -> keys, values, cursor | nil at the end;
 * nil, code: -ENOSPC, a bucket has more */
static int lmap_read_batch(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	size_t len = 0, cursor_size = m->key_size > 8 ? m->key_size : 8;
	const char *from = luaL_optlstring(L, 2, NULL, &len);
	bool raw = lua_toboolean(L, 4), takes = lua_toboolean(L, 5);
	struct batch b;
	lua_settop(L, 5);
	if (from && len != cursor_size)
		return luaL_argerror(L, 2, "no cursor of this map");
	batch_room(L, m, &b, luaL_checknumber(L, 3));
	char *in = lua_newuserdata(L, cursor_size), *out = lua_newuserdata(L, cursor_size);
	memset(out, 0, cursor_size);
	if (from)
		memcpy(in, from, cursor_size);
	struct bpf_map_batch_opts opts = {.sz = sizeof opts};
	int err = (takes ? bpf_map_lookup_and_delete_batch : bpf_map_lookup_batch)(m->fd,
		from ? in : NULL, out, b.keys, b.values, &b.n, &opts) < 0 ? -errno : 0;
	if (err < 0 && err != -ENOENT)
		return rl_bpf_fail(L, err);
	lua_createtable(L, (int)b.n, 0);
	lua_createtable(L, (int)b.n, 0);
	for (__u32 i = 0; i < b.n; i++) {
		rl_bpf_decode(L, rl_bpf_map_btf(m), raw ? RL_BPF_RAW : m->key_type,
			b.keys + (size_t)i * m->key_size, m->key_size);
		lua_rawseti(L, -3, (int)i + 1);
		push_value(L, m, b.values + i * b.value_room, raw);
		lua_rawseti(L, -2, (int)i + 1);
	}
	if (err == -ENOENT)
		lua_pushnil(L);
	else
		lua_pushlstring(L, out, cursor_size);
	return 3;
}

/* map, keys, values | nil (delete them), flags, raw? -> true | nil, code, how many were done */
static int lmap_write_batch(lua_State *L)
{
	const struct rl_bpf_map *m = rl_bpf_check_map(L, 1);
	bool deletes = lua_isnil(L, 3), raw = lua_toboolean(L, 5);
	uint64_t flags = (uint64_t)luaL_optnumber(L, 4, 0);
	struct batch b;
	lua_settop(L, 5);
	if (lua_type(L, 2) != LUA_TTABLE || (!deletes && lua_type(L, 3) != LUA_TTABLE))
		return luaL_error(L, "lists expected");
	batch_room(L, m, &b, (lua_Number)rl_rawlen(L, 2));
	if (!deletes && rl_rawlen(L, 3) != b.n)
		return luaL_error(L, "as many values as keys expected");
	for (__u32 i = 0; i < b.n; i++) {
		lua_rawgeti(L, 2, (int)i + 1);
		take_key(L, lua_gettop(L), m, b.keys + (size_t)i * m->key_size, raw);
		lua_pop(L, 1);
		if (deletes)
			continue;
		lua_rawgeti(L, 3, (int)i + 1);
		take_value(L, lua_gettop(L), m, b.values + i * b.value_room, raw);
		lua_pop(L, 1);
	}
	struct bpf_map_batch_opts opts = {.sz = sizeof opts, .elem_flags = flags};
	int err = (deletes ? bpf_map_delete_batch(m->fd, b.keys, &b.n, &opts)
		: bpf_map_update_batch(m->fd, b.keys, b.values, &b.n, &opts)) < 0 ? -errno : 0;
	int n = rl_bpf_done(L, err);
	if (err == 0)
		return n;
	lua_pushinteger(L, (lua_Integer)b.n);
	return 3;
}

/* A descriptor of a map, program or link; path -> true | nil, code */
static int lmap_pin(lua_State *L)
{
	int fd = rl_bpf_fd(L, 1);
	return rl_bpf_done(L, bpf_obj_pin(fd, luaL_checkstring(L, 2)) < 0 ? -errno : 0);
}

static const luaL_Reg functions[] = {
	{"map_of", lmap_of},
	{"map_open", lmap_open},
	{"map_set_types", lmap_set_types},
	{"map_info", lmap_info},
	{"map_get", lmap_get},
	{"map_set", lmap_set},
	{"map_delete", lmap_delete},
	{"map_next", lmap_next},
	{"map_key", lmap_key},
	{"map_read_batch", lmap_read_batch},
	{"map_write_batch", lmap_write_batch},
	{"map_close", lmap_close},
	{"pin", lmap_pin},
	{NULL, NULL},
};

void rl_bpf_open_map(lua_State *L)
{
	rl_bpf_class(L, RL_BPF_MAP, lmap_close);
	rl_bpf_register(L, functions);
}
