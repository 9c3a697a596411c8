/* SPDX-License-Identifier: MIT */
/*
 * ltrail: the path to a value: "job.args[2].cb: upvalue 'x'[1]". It is looked for when it is
 * needed, from the value back to a root: what is written and read does not carry it along.
 *
 * Invariant: items are numbered in the order in which they were met, so the item in which one was
 * met first has a lower number.
 */
#include "lua/lparcel.h"

#include <ctype.h>
#include <string.h>

#define STEPS_MAX 16 /* a longer path has its end alone */

static bool is_identifier(const char *s, size_t len)
{
	if (len == 0 || len > 64 || isdigit((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return true;
}

/* Push the step that the key at index `key` is. */
static void push_key_step(lua_State *L, int key)
{
	size_t len;
	if (lua_type(L, key) == LUA_TSTRING) {
		const char *s = lua_tolstring(L, key, &len);
		if (is_identifier(s, len))
			lua_pushfstring(L, ".%s", s);
		else
			lua_pushfstring(L, "[\"%s\"]", s);
	} else if (lua_type(L, key) == LUA_TNUMBER || lua_type(L, key) == LUA_TBOOLEAN) {
		lua_pushvalue(L, key);
		if (lua_isboolean(L, -1))
			lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
		lua_tostring(L, -1);
		lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
	} else {
		lua_pushfstring(L, "[a %s]", luaL_typename(L, key));
	}
}

/* Push the step from the table at index `table` to the value at `value`; false: it is not there. */
static bool push_table_step(lua_State *L, int table, int value)
{
	lua_pushnil(L);
	while (lua_next(L, table)) {
		int key = lua_gettop(L) - 1;
		if (lua_rawequal(L, key + 1, value)) {
			push_key_step(L, key);
			return true;
		}
		if (lua_rawequal(L, key, value)) {
			lua_pushliteral(L, ": a key");
			return true;
		}
		lua_pop(L, 1);
	}
	return false;
}

static bool push_upvalue_step(lua_State *L, int fn, int value)
{
	for (int i = 1;; i++) {
		const char *name = lua_getupvalue(L, fn, i);
		if (!name)
			return false;
		if (lua_rawequal(L, -1, value)) {
			lua_pushfstring(L, ": upvalue '%s'", name);
			return true;
		}
		lua_pop(L, 1);
	}
}

/* Push the step from the item `k` to the value at index `value`, with more below it; false: the
 * value is not in it. */
static bool push_step(lua_State *L, const struct rl_items *items, uint32_t k, int value)
{
	rl_items_push(items, k);
	int item = lua_gettop(L);
	if (lua_istable(L, item))
		return push_table_step(L, item, value);
	if (lua_isfunction(L, item))
		return push_upvalue_step(L, item, value);
	return false;
}

/* The first item up to `last` in which the value at index `value` is; 0: none. */
static uint32_t find_parent(lua_State *L, const struct rl_trail *t, uint32_t last, int value)
{
	int top = lua_gettop(L);
	for (uint32_t k = 1; k <= last; k++) {
		bool found = push_step(L, t->items, k, value);
		lua_settop(L, top);
		if (found)
			return k;
	}
	return 0;
}

static bool is_root(lua_State *L, const struct rl_trail *t, int value, int *nth)
{
	for (int i = 0; i < t->n; i++) {
		if (lua_rawequal(L, t->first + i, value)) {
			*nth = i + 1;
			return true;
		}
	}
	return false;
}

static void push_root(lua_State *L, const struct rl_trail *t, int nth)
{
	if (t->is_list && t->head && nth == 1)
		lua_pushstring(L, t->head);
	else if (t->is_list)
		lua_pushfstring(L, "%s[%d]", t->root, nth - (t->head != NULL));
	else
		lua_pushstring(L, t->root);
}

void rl_trail_push(lua_State *L, const struct rl_trail *t, uint32_t last)
{
	int value = lua_gettop(L), nth = 0, steps = 0;
	luaL_checkstack(L, STEPS_MAX + 16, NULL);
	uint32_t parent = is_root(L, t, value, &nth) ? 0 : find_parent(L, t, last, value);
	/* Above `value` are the steps, the last one first. */
	while (parent > 0 && steps < STEPS_MAX) {
		int top = value + steps;
		push_step(L, t->items, parent, value);
		lua_replace(L, top + 1);
		lua_settop(L, top + 1);
		steps++;
		rl_items_push(t->items, parent);
		lua_replace(L, value);
		parent = is_root(L, t, value, &nth) ? 0 : find_parent(L, t, parent - 1, value);
	}
	push_root(L, t, nth ? nth : 1);
	lua_pushstring(L, parent > 0 ? "..." : "");
	for (int i = steps; i > 0; i--)
		lua_pushvalue(L, value + i);
	lua_concat(L, steps + 2);
	lua_replace(L, value);
	lua_settop(L, value);
}
