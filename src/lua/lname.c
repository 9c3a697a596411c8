/* SPDX-License-Identifier: MIT */
/*
 * lname: what travels by name: modules, functions found in them, types.
 *
 * A weak table has the name of each such value. It is filled from package.loaded: the standard
 * libraries when the library is loaded, so that their functions keep their names whatever is put in
 * their places later; the rest when a function is met that was not met before, or a table with
 * functions in it, and before something is refused. In between, whether package.loaded has changed
 * is seen from the number and the addresses of its values.
 *
 * Names: "module", "module\0field", and "\1type" for a metatable that is no module.
 */
#include "lua/lparcel.h"

#include <string.h>

#define TYPE_MARK '\1'

static void push_loaded(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
}

/* Push the table of the library's own modules, which outlive package.loaded; or nil. */
static void push_ours(lua_State *L)
{
	push_loaded(L);
	lua_getfield(L, -1, "ringlet.core");
	lua_remove(L, -2);
	if (lua_istable(L, -1)) {
		lua_getfield(L, -1, "loaded");
		lua_remove(L, -2);
	} else {
		lua_pop(L, 1);
		lua_pushnil(L);
	}
}

void rl_name_push_all(lua_State *L, struct rl_lua *h)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->names_ref);
}

/* ---- finding names -------------------------------------------------------------------------- */

/* Give the value at index `i` the name on top, which is popped, unless it has one. A module's name
 * is better than that of a type. Returns whether it is new. */
static bool add_name(lua_State *L, int names, int i)
{
	size_t len;
	lua_pushvalue(L, i);
	lua_rawget(L, names);
	const char *before = lua_tolstring(L, -1, &len);
	bool is_new = !before || before[0] == TYPE_MARK;
	lua_pop(L, 1);
	if (is_new) {
		lua_pushvalue(L, i);
		lua_insert(L, -2);
		lua_rawset(L, names);
	} else {
		lua_pop(L, 1);
	}
	return is_new;
}

/* The functions in the module on top, whose name is at index `name`. Of the globals only those in
 * C: others are the user's own, which other states do not have. */
static bool add_fields(lua_State *L, int names, int name)
{
	bool any = false;
	int module = lua_gettop(L);
	rl_push_globals(L);
	bool is_globals = lua_rawequal(L, -1, module);
	lua_pop(L, 1);
	lua_pushnil(L);
	while (lua_next(L, module)) {
		bool is_one = is_globals ? lua_iscfunction(L, -1) : lua_isfunction(L, -1);
		if (is_one && lua_type(L, -2) == LUA_TSTRING) {
			lua_pushvalue(L, name);
			lua_pushlstring(L, "", 1);
			lua_pushvalue(L, -4);
			lua_concat(L, 3);
			any |= add_name(L, names, lua_gettop(L) - 1);
		}
		lua_pop(L, 1);
	}
	return any;
}

/* The module on top with its name below it. */
static bool add_module(lua_State *L, int names)
{
	int value = lua_gettop(L), name = value - 1;
	if (lua_type(L, name) != LUA_TSTRING || !(lua_istable(L, value) || lua_isfunction(L, value)))
		return false;
	lua_pushvalue(L, name);
	bool any = add_name(L, names, value);
	if (lua_istable(L, value))
		any |= add_fields(L, names, name);
	return any;
}

/* All modules of the table on top, which is popped; nil is fine. */
static bool add_modules(lua_State *L, int names)
{
	bool any = false;
	int table = lua_gettop(L);
	if (lua_istable(L, table)) {
		lua_pushnil(L);
		while (lua_next(L, table)) {
			any |= add_module(L, names);
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
	return any;
}

/* The library's own modules: what it gives to users first, as names of modules may change. */
static bool add_ours(lua_State *L, int names)
{
	bool any = false;
	push_ours(L);
	if (lua_istable(L, -1)) {
		lua_pushliteral(L, "ringlet");
		lua_pushvalue(L, -1);
		lua_rawget(L, -3);
		any = add_module(L, names);
		lua_pop(L, 2);
	}
	any |= add_modules(L, names);
	return any;
}

/* Has package.loaded changed since? */
static bool has_changed(lua_State *L, struct rl_codec *c)
{
	unsigned n = 0;
	uintptr_t mix = 0;
	push_loaded(L);
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		n++;
		mix += (uintptr_t)lua_topointer(L, -1) * 31;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	bool changed = n != c->modules_len || mix != c->modules_mix;
	c->modules_len = n;
	c->modules_mix = mix;
	return changed;
}

bool rl_name_refresh(lua_State *L, struct rl_lua *h, bool all)
{
	luaL_checkstack(L, 16, NULL);
	if (!has_changed(L, h->codec) && !all)
		return false;
	rl_name_push_all(L, h);
	int names = lua_gettop(L);
	bool any = add_ours(L, names);
	push_loaded(L);
	any |= add_modules(L, names);
	lua_pop(L, 1);
	return any;
}

static int get_globals(lua_State *L)
{
	lua_getfield(L, 1, "_G");
	return 1;
}

bool rl_name_leads_to_globals(lua_State *L, int i)
{
	if (!lua_getmetatable(L, i))
		return false;
	lua_pop(L, 1);
	lua_pushvalue(L, i);
	lua_pushcfunction(L, get_globals); /* it may run code of the user's */
	lua_insert(L, -2);
	bool leads = lua_pcall(L, 1, 1, 0) == LUA_OK;
	rl_push_globals(L);
	leads = leads && lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return leads;
}

/* ---- what a name stands for ----------------------------------------------------------------- */

static bool is_module(lua_State *L)
{
	return lua_istable(L, -1) || lua_isfunction(L, -1);
}

/* Push the value of the table on top under the string below it, and remove the table. */
static void take_field(lua_State *L)
{
	if (lua_istable(L, -1)) {
		lua_pushvalue(L, -2);
		lua_rawget(L, -2);
		lua_remove(L, -2);
	}
}

/* Replace the name of a module on top by the module; by a reason, if it cannot be loaded. */
static bool resolve_module(lua_State *L, struct rl_codec *c)
{
	push_loaded(L);
	take_field(L);
	if (!is_module(L)) {
		lua_pop(L, 1);
		push_ours(L);
		take_field(L);
	}
	bool ok = is_module(L);
	if (!ok) {
		lua_pop(L, 1);
		lua_rawgeti(L, LUA_REGISTRYINDEX, c->require_ref);
		lua_pushvalue(L, -2);
		ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
		if (!ok)
			lua_pushfstring(L, "the module '%s': %s", lua_tostring(L, -2),
				lua_isstring(L, -1) ? lua_tostring(L, -1) : "it raised");
		else if (!is_module(L))
			lua_pushfstring(L, "the module '%s', which is no table here", lua_tostring(L, -2));
		ok = ok && is_module(L);
	}
	return ok;
}

static void push_type(lua_State *L, struct rl_lua *h, const char *name, size_t len)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->metatables_ref);
	lua_pushlstring(L, name, len);
	lua_rawget(L, -2);
	lua_remove(L, -2);
}

void rl_name_find_type(lua_State *L, struct rl_lua *h, const char *name, size_t len)
{
	int top = lua_gettop(L);
	push_type(L, h, name, len);
	if (!lua_isnil(L, -1))
		return;
	lua_settop(L, top);
	lua_pushlstring(L, name, len);
	resolve_module(L, h->codec);
	lua_settop(L, top);
	push_type(L, h, name, len);
}

static bool resolve_type(lua_State *L, struct rl_lua *h, const char *name, size_t len)
{
	rl_name_find_type(L, h, name, len);
	if (!lua_isnil(L, -1))
		return true;
	lua_pop(L, 1);
	lua_pushfstring(L, "the type '%s', which is not registered here", name);
	return false;
}

bool rl_name_resolve(lua_State *L, struct rl_lua *h, const char *name, size_t len)
{
	int base = lua_gettop(L);
	if (len > 0 && name[0] == TYPE_MARK)
		return resolve_type(L, h, name + 1, len - 1);
	const char *zero = memchr(name, 0, len);
	lua_pushlstring(L, name, zero ? (size_t)(zero - name) : len);
	bool ok = resolve_module(L, h->codec);
	if (ok && zero) {
		lua_pushlstring(L, zero + 1, len - (size_t)(zero + 1 - name));
		lua_pushvalue(L, -1);
		if (lua_istable(L, -3))
			lua_rawget(L, -3);
		ok = lua_isfunction(L, -1);
		if (!ok)
			lua_pushfstring(L, "the function '%s' of the module '%s', which is none here",
				lua_tostring(L, -2), lua_tostring(L, base + 1));
	}
	lua_replace(L, base + 1);
	lua_settop(L, base + 1);
	return ok;
}

/* ---- types ---------------------------------------------------------------------------------- */

const char *rl_name_of_type(lua_State *L, struct rl_lua *h, size_t *len)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->types_ref);
	lua_pushvalue(L, -2);
	lua_rawget(L, -2);
	const char *name = lua_tolstring(L, -1, len);
	lua_pop(L, 2);
	return name;
}

/* register_type(name, metatable): the last one that is registered under a name has it */
static int lname_register_type(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	luaL_checktype(L, 1, LUA_TSTRING);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->types_ref);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 1);
	lua_rawset(L, -3);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->metatables_ref);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lua_rawset(L, -3);
	rl_name_push_all(L, h);
	lua_pushlstring(L, "\1", 1);
	lua_pushvalue(L, 1);
	lua_concat(L, 2);
	add_name(L, lua_gettop(L) - 1, 2);
	return 0;
}

static const luaL_Reg functions[] = {
	{"register_type", lname_register_type},
	{NULL, NULL},
};

/* A table on top in which what is a key is not held. */
static int new_weak(lua_State *L)
{
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The standard libraries by their own names, which package.loaded has too. */
static void add_standard(lua_State *L, struct rl_lua *h)
{
	static const char *const libraries[] = {
		"_G", "string", "table", "math", "io", "os", "coroutine", "debug", "package", "bit", "jit",
		"ffi", "utf8",
	};
	rl_name_push_all(L, h);
	int names = lua_gettop(L);
	push_loaded(L);
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
		lua_pushstring(L, libraries[i]);
		lua_pushvalue(L, -1);
		lua_rawget(L, -3);
		add_module(L, names);
		lua_pop(L, 2);
	}
	lua_pop(L, 2);
}

/* Expects the core table on top. */
void rl_name_open(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	h->codec->names_ref = new_weak(L);
	h->codec->types_ref = new_weak(L);
	lua_newtable(L);
	h->codec->metatables_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	push_loaded(L);
	lua_getfield(L, -1, "_G");
	lua_getfield(L, -1, "require");
	h->codec->require_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pop(L, 2);
	add_standard(L, h);
}
