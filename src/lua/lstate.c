/* SPDX-License-Identifier: MIT */
/*
 * lstate: see lstate.h. A boot record is one allocation: the words (path, cpath, what is required,
 * what arg holds) with their bytes behind them.
 *
 * Invariant: capturing collects the words in a Lua table and allocates last, so nothing is lost
 * when Lua raises half way; every step of making a state runs protected.
 */
#include "lua/lstate.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOADER "luarocks.loader" /* how an interpreter finds rocks that are not on the path */

struct rl_lua_boot {
	_Atomic uint32_t refs;
	bool has_arg;
	int arg_first;           /* index of the first word of arg: below 0 for the interpreter */
	unsigned modules, args;  /* how many words each is: path, cpath, modules, args */
	const char *words[];
};

enum { WORD_PATH, WORD_CPATH, WORDS_FIXED };

/* ---- capturing ------------------------------------------------------------------------------ */

/* Move the string on top to the end of the list at `list`. */
static void add_word(lua_State *L, int list)
{
	lua_rawseti(L, list, (int)rl_rawlen(L, list) + 1);
}

static void add_package_field(lua_State *L, int list, const char *name)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, "package");
	lua_getfield(L, -1, name);
	if (lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "package.%s is no string", name);
	add_word(L, list);
	lua_pop(L, 2);
}

/* The loader, if it is loaded, the library, and the modules of the list at `preload`. */
static unsigned add_modules(lua_State *L, int list, int preload)
{
	unsigned before = (unsigned)rl_rawlen(L, list);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, LOADER);
	if (lua_toboolean(L, -1)) {
		lua_pushliteral(L, LOADER);
		add_word(L, list);
	}
	lua_pop(L, 2);
	lua_pushliteral(L, "ringlet");
	add_word(L, list);
	size_t n = preload ? rl_rawlen(L, preload) : 0;
	for (size_t i = 1; i <= n; i++) {
		lua_rawgeti(L, preload, (int)i);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "preload is a list of names of modules");
		add_word(L, list);
	}
	return (unsigned)rl_rawlen(L, list) - before;
}

/* The words of the table on top: from the lowest index on, without a gap. */
static unsigned add_args(lua_State *L, int list, int *first)
{
	int arg = lua_gettop(L), i = 0;
	unsigned n = 0;
	for (*first = 0; ; (*first)--) {
		lua_rawgeti(L, arg, *first - 1);
		bool ends = !lua_isstring(L, -1);
		lua_pop(L, 1);
		if (ends)
			break;
	}
	for (i = *first; ; i++, n++) {
		lua_rawgeti(L, arg, i);
		if (!lua_isstring(L, -1))
			break;
		lua_tostring(L, -1);
		add_word(L, list);
	}
	lua_pop(L, 1);
	return n;
}

/* The record with the words of the list at `list`, which are all strings. Does not raise. */
static struct rl_lua_boot *boot_new(lua_State *L, int list)
{
	size_t n = rl_rawlen(L, list), bytes = 0, len;
	for (size_t i = 1; i <= n; i++) {
		lua_rawgeti(L, list, (int)i);
		bytes += rl_rawlen(L, -1) + 1;
		lua_pop(L, 1);
	}
	struct rl_lua_boot *boot = malloc(sizeof *boot + n * sizeof(char *) + bytes);
	if (!boot)
		return NULL;
	char *at = (char *)(boot->words + n);
	for (size_t i = 1; i <= n; i++) {
		lua_rawgeti(L, list, (int)i);
		const char *word = lua_tolstring(L, -1, &len);
		memcpy(at, word, len + 1);
		boot->words[i - 1] = at;
		at += len + 1;
		lua_pop(L, 1);
	}
	atomic_init(&boot->refs, 1);
	return boot;
}

struct rl_lua_boot *rl_lua_boot_capture(lua_State *L, int preload)
{
	int first = 0, base = lua_gettop(L), list = base + 1;
	unsigned args = 0;
	luaL_checkstack(L, 8, NULL);
	lua_newtable(L);
	add_package_field(L, list, "path");
	add_package_field(L, list, "cpath");
	unsigned modules = add_modules(L, list, preload);
	rl_push_globals(L);
	lua_pushliteral(L, "arg");
	lua_rawget(L, -2);
	bool has_arg = lua_istable(L, -1);
	if (has_arg)
		args = add_args(L, list, &first);
	struct rl_lua_boot *boot = boot_new(L, list);
	if (!boot)
		luaL_error(L, "not enough memory");
	boot->has_arg = has_arg;
	boot->arg_first = first;
	boot->modules = modules;
	boot->args = args;
	lua_settop(L, base);
	return boot;
}

struct rl_lua_boot *rl_lua_boot_get(struct rl_lua_boot *boot)
{
	atomic_fetch_add_explicit(&boot->refs, 1, memory_order_relaxed);
	return boot;
}

/* The last to give up frees: its acquire pairs with the release of all others. */
void rl_lua_boot_put(struct rl_lua_boot *boot)
{
	if (boot && atomic_fetch_sub_explicit(&boot->refs, 1, memory_order_acq_rel) == 1)
		free(boot);
}

/* ---- making --------------------------------------------------------------------------------- */

static void set_paths(lua_State *L, const struct rl_lua_boot *boot)
{
	lua_getglobal(L, "package");
	lua_pushstring(L, boot->words[WORD_PATH]);
	lua_setfield(L, -2, "path");
	lua_pushstring(L, boot->words[WORD_CPATH]);
	lua_setfield(L, -2, "cpath");
	lua_pop(L, 1);
}

static void set_arg(lua_State *L, const struct rl_lua_boot *boot)
{
	if (!boot->has_arg)
		return;
	const char *const *word = boot->words + WORDS_FIXED + boot->modules;
	lua_createtable(L, (int)boot->args, 1);
	for (unsigned i = 0; i < boot->args; i++) {
		lua_pushstring(L, word[i]);
		lua_rawseti(L, -2, boot->arg_first + (int)i);
	}
	lua_setglobal(L, "arg");
}

static int fill(lua_State *L)
{
	const struct rl_lua_boot *boot = lua_touserdata(L, 1);
	luaL_openlibs(L);
	set_paths(L, boot);
	set_arg(L, boot);
	for (unsigned i = 0; i < boot->modules; i++) {
		lua_getglobal(L, "require");
		lua_pushstring(L, boot->words[WORDS_FIXED + i]);
		lua_call(L, 1, 0);
	}
	return 0;
}

lua_State *rl_lua_state_new(const struct rl_lua_boot *boot, char *err, size_t err_size)
{
	lua_State *L = luaL_newstate();
	if (!L) {
		snprintf(err, err_size, "not enough memory");
		return NULL;
	}
	if (rl_cpcall(L, fill, (void *)boot) == LUA_OK)
		return L;
	const char *text = lua_tostring(L, -1);
	snprintf(err, err_size, "%s", text ? text : "a module raised something that is no text");
	lua_close(L);
	return NULL;
}
