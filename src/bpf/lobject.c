/* SPDX-License-Identifier: MIT */
/*
 * lobject: an object file of BPF: opened from memory, changed, loaded, closed. Its programs and
 * maps are the kernel's from `load` on, and gone with the last descriptor of theirs.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct rl_bpf_object *rl_bpf_get(struct rl_bpf_object *of)
{
	of->refs++;
	return of;
}

void rl_bpf_put(struct rl_bpf_object *of)
{
	if (!of || --of->refs > 0)
		return;
	bpf_object__close(of->o);
	free(of);
}

struct rl_bpf_object *rl_bpf_check_object(lua_State *L, int arg)
{
	struct rl_bpf_object **at = luaL_checkudata(L, arg, RL_BPF_OBJECT);
	if (!*at || !(*at)->o)
		luaL_error(L, "the object is closed");
	return *at;
}

/* object: closed, its maps and programs with it, unless something else holds them. Idempotent. */
static int lobject_close(lua_State *L)
{
	struct rl_bpf_object **at = luaL_checkudata(L, 1, RL_BPF_OBJECT);
	struct rl_bpf_object *of = *at;
	*at = NULL;
	if (of) {
		bpf_object__close(of->o);
		of->o = NULL;
		rl_bpf_put(of);
	}
	return 0;
}

/* bytes, name -> object | nil, code, why */
static int lobject_open(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 1, &len), *name = luaL_checkstring(L, 2);
	const char *why = rl_bpf_check_elf(bytes, len);
	if (why) {
		rl_bpf_fail(L, -EINVAL);
		lua_pushstring(L, why);
		return 3;
	}
	struct rl_bpf_object **at = rl_bpf_new(L, RL_BPF_OBJECT, sizeof *at);
	struct bpf_object_open_opts opts = {.sz = sizeof opts, .object_name = name};
	struct rl_bpf_object *of = calloc(1, sizeof *of);
	if (!of)
		return rl_bpf_fail(L, -ENOMEM);
	*at = rl_bpf_get(of);
	of->o = bpf_object__open_mem(bytes, len, &opts);
	return of->o ? 1 : rl_bpf_fail(L, errno ? -errno : -EINVAL);
}

/* object -> list of {name=, type=, key_size=, value_size=, max_entries=, flags=, key_type=,
 * value_type=, internal=} */
static int lobject_maps(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_map *m;
	int n = 0;
	lua_newtable(L);
	bpf_object__for_each_map(m, of->o) {
		lua_newtable(L);
		lua_pushstring(L, bpf_map__name(m));
		lua_setfield(L, -2, "name");
		rl_bpf_field(L, "type", bpf_map__type(m));
		rl_bpf_field(L, "key_size", bpf_map__key_size(m));
		rl_bpf_field(L, "value_size", bpf_map__value_size(m));
		rl_bpf_field(L, "max_entries", bpf_map__max_entries(m));
		rl_bpf_field(L, "flags", bpf_map__map_flags(m));
		rl_bpf_field(L, "key_type", bpf_map__btf_key_type_id(m));
		rl_bpf_field(L, "value_type", bpf_map__btf_value_type_id(m));
		lua_pushboolean(L, bpf_map__is_internal(m));
		lua_setfield(L, -2, "internal");
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* object -> list of {name=, section=, type=, attach_type=, load=} */
static int lobject_programs(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_program *p;
	int n = 0;
	lua_newtable(L);
	bpf_object__for_each_program(p, of->o) {
		lua_newtable(L);
		lua_pushstring(L, bpf_program__name(p));
		lua_setfield(L, -2, "name");
		lua_pushstring(L, bpf_program__section_name(p));
		lua_setfield(L, -2, "section");
		rl_bpf_field(L, "type", bpf_program__type(p));
		rl_bpf_field(L, "attach_type", bpf_program__expected_attach_type(p));
		lua_pushboolean(L, bpf_program__autoload(p));
		lua_setfield(L, -2, "load");
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static struct bpf_map *check_map(lua_State *L, const struct rl_bpf_object *of, int arg)
{
	struct bpf_map *m = bpf_object__find_map_by_name(of->o, luaL_checkstring(L, arg));
	if (!m)
		luaL_argerror(L, arg, "no such map");
	return m;
}

/* object, map, most entries -> true | nil, code */
static int lobject_resize(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_map *m = check_map(L, of, 2);
	return rl_bpf_done(L, bpf_map__set_max_entries(m, (uint32_t)luaL_checknumber(L, 3)));
}

/* object, map, descriptor of the map to use instead -> true | nil, code */
static int lobject_reuse(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_map *m = check_map(L, of, 2);
	return rl_bpf_done(L, bpf_map__reuse_fd(m, rl_bpf_fd(L, 3)));
}

/* object, map, path: pinned there, or taken from there when it is there already -> true | nil, code
 *  */
static int lobject_pin_map(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_map *m = check_map(L, of, 2);
	return rl_bpf_done(L, bpf_map__set_pin_path(m, luaL_checkstring(L, 3)));
}

struct bpf_program *rl_bpf_program(lua_State *L, const struct rl_bpf_object *of, int arg)
{
	return bpf_object__find_program_by_name(of->o, luaL_checkstring(L, arg));
}

/* object, program, boolean: load it with the others? */
static int lobject_choose(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	struct bpf_program *p = rl_bpf_program(L, of, 2);
	return rl_bpf_done(L, p ? bpf_program__set_autoload(p, lua_toboolean(L, 3)) : -ENOENT);
}

/* The verifier gives up when a signal is pending, and libbpf with it after some attempts: the one
 * for preemption comes each millisecond to who computes. */
static int load_undisturbed(struct bpf_object *o)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int err = bpf_object__load(o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* object -> true | nil, code */
static int lobject_load(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	int err = load_undisturbed(of->o);
	of->loaded = err == 0;
	return rl_bpf_done(L, err);
}

static const luaL_Reg functions[] = {
	{"open", lobject_open},
	{"object_maps", lobject_maps},
	{"object_programs", lobject_programs},
	{"object_resize", lobject_resize},
	{"object_reuse", lobject_reuse},
	{"object_pin_map", lobject_pin_map},
	{"object_choose", lobject_choose},
	{"object_load", lobject_load},
	{"object_close", lobject_close},
	{NULL, NULL},
};

void rl_bpf_open_object(lua_State *L)
{
	rl_bpf_class(L, RL_BPF_OBJECT, lobject_close);
	rl_bpf_register(L, functions);
}
