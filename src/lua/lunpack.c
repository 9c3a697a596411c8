/* SPDX-License-Identifier: MIT */
/*
 * lunpack: parcels into Lua values. The form is in lparcel.h. What is read was written by lpack in
 * this process and is trusted.
 *
 * The stack: the values, then the items if there are any.
 */
#include "lua/lparcel.h"

#include "base/check.h"

#include <limits.h>
#include <string.h>

struct reader {
	lua_State *L;
	struct rl_lua *h;
	const struct rl_parcel *parcel;
	const char *at;
	struct rl_items items;
	int first;      /* stack slot of the first value */
	int nth;        /* the value that is being read */
	uint32_t in;    /* the item whose contents are, 0: none yet */
};

/* ---- bytes ---------------------------------------------------------------------------------- */

static enum rl_tag take_tag(struct reader *r)
{
	return (enum rl_tag)(unsigned char)*r->at++;
}

static uint32_t take_u32(struct reader *r)
{
	uint32_t v;
	memcpy(&v, r->at, sizeof v);
	r->at += sizeof v;
	return v;
}

static const char *take_bytes(struct reader *r, size_t n)
{
	const char *at = r->at;
	r->at += n;
	return at;
}

/* ---- values --------------------------------------------------------------------------------- */

/* What is named is not to be had: why is on top. The message says in which table or function it was
 * to be: the item itself, which is in one of those before it. */
__attribute__((noreturn)) static void refuse(struct reader *r)
{
	lua_State *L = r->L;
	const char *why = lua_tostring(L, -1);
	luaL_checkstack(L, 16, NULL);
	if (r->in > 0) {
		struct rl_trail t = {.root = "value", .is_list = true, .first = r->first,
			.n = (int)r->parcel->values, .items = &r->items};
		rl_items_push(&r->items, r->in);
		rl_trail_push(L, &t, r->in - 1);
	} else {
		lua_pushfstring(L, "value[%d]", r->nth);
	}
	lua_pushfstring(L, "cannot arrive: %s needs %s", lua_tostring(L, -1), why);
	lua_error(L);
	__builtin_unreachable();
}

static void read_name(struct reader *r)
{
	uint32_t len = take_u32(r);
	if (!rl_name_resolve(r->L, r->h, take_bytes(r, len), len))
		refuse(r);
}

static int size_hint(uint32_t n)
{
	return n > INT_MAX / 2 ? INT_MAX / 2 : (int)n;
}

static void read_table(struct reader *r)
{
	uint32_t list = take_u32(r), pairs = take_u32(r);
	lua_createtable(r->L, size_hint(list), size_hint(pairs));
	rl_items_add(&r->items, lua_gettop(r->L));
}

static void read_typed(struct reader *r)
{
	uint32_t len = take_u32(r);
	const char *type = take_bytes(r, len);
	rl_name_find_type(r->L, r->h, type, len);
	if (lua_isnil(r->L, -1)) {
		lua_pushlstring(r->L, type, len);
		lua_pushfstring(r->L, "the type '%s', which is not registered here",
			lua_tostring(r->L, -1));
		refuse(r);
	}
	read_table(r);
	lua_insert(r->L, -2);
	lua_setmetatable(r->L, -2);
}

static void read_function(struct reader *r)
{
	struct rl_shared *o = r->parcel->objects[take_u32(r)];
	rl_code_push_closure(r->L, r->h, (struct rl_code *)o);
	rl_items_add(&r->items, lua_gettop(r->L));
}

static void read_number(struct reader *r, enum rl_tag tag)
{
	int64_t i;
	double d;
	const char *at = take_bytes(r, 8);
	if (tag == RL_TAG_INTEGER) {
		memcpy(&i, at, sizeof i);
		lua_pushinteger(r->L, (lua_Integer)i);
	} else {
		memcpy(&d, at, sizeof d);
		lua_pushnumber(r->L, d);
	}
}

static void read_string(struct reader *r, enum rl_tag tag)
{
	size_t len = tag == RL_TAG_SHORT ? (unsigned char)*take_bytes(r, 1) : take_u32(r);
	lua_pushlstring(r->L, take_bytes(r, len), len);
	if (tag == RL_TAG_LONG)
		rl_items_add(&r->items, lua_gettop(r->L));
}

/* Push the value that begins with the tag. */
static void read_value(struct reader *r, enum rl_tag tag)
{
	switch (tag) {
	case RL_TAG_NIL:
		lua_pushnil(r->L);
		break;
	case RL_TAG_FALSE:
	case RL_TAG_TRUE:
		lua_pushboolean(r->L, tag == RL_TAG_TRUE);
		break;
	case RL_TAG_INTEGER:
	case RL_TAG_NUMBER:
		read_number(r, tag);
		break;
	case RL_TAG_SHORT:
	case RL_TAG_LONG:
		read_string(r, tag);
		break;
	case RL_TAG_GLOBALS:
		rl_push_globals(r->L);
		break;
	case RL_TAG_NAME:
		read_name(r);
		break;
	case RL_TAG_SHARED:
		rl_lua_push_shared(r->L, r->h, r->parcel->objects[take_u32(r)]);
		break;
	case RL_TAG_ITEM:
		rl_items_push(&r->items, take_u32(r));
		break;
	case RL_TAG_TABLE:
		read_table(r);
		break;
	case RL_TAG_TYPED:
		read_typed(r);
		break;
	case RL_TAG_FUNCTION:
		read_function(r);
		break;
	case RL_TAG_END:
	case RL_TAG_JOIN:
		RL_ASSERT(!"a value");
	}
}

/* ---- contents ------------------------------------------------------------------------------- */

/* Fill the table on top. */
static void read_pairs(struct reader *r)
{
	lua_State *L = r->L;
	int table = lua_gettop(L);
	enum rl_tag tag = take_tag(r);
	for (int i = 1; tag != RL_TAG_END; tag = take_tag(r)) {
		read_value(r, tag);
		lua_rawseti(L, table, i++);
	}
	for (tag = take_tag(r); tag != RL_TAG_END; tag = take_tag(r)) {
		read_value(r, tag);
		read_value(r, take_tag(r));
		lua_rawset(L, table);
	}
}

/* Give the function on top its upvalues. */
static void read_upvalues(struct reader *r)
{
	lua_State *L = r->L;
	int fn = lua_gettop(L);
	for (int i = 1; lua_getupvalue(L, fn, i); i++) {
		lua_pop(L, 1);
		enum rl_tag tag = take_tag(r);
		if (tag == RL_TAG_JOIN) {
			rl_items_push(&r->items, take_u32(r));
			lua_upvaluejoin(L, fn, i, fn + 1, (unsigned char)*take_bytes(r, 1));
			lua_pop(L, 1);
		} else {
			read_value(r, tag);
			lua_setupvalue(L, fn, i);
		}
	}
}

static void read_contents(struct reader *r, uint32_t items)
{
	lua_State *L = r->L;
	for (r->in = 1; r->in <= items; r->in++) {
		int top = lua_gettop(L);
		rl_items_push(&r->items, r->in);
		if (lua_istable(L, -1))
			read_pairs(r);
		else if (lua_isfunction(L, -1))
			read_upvalues(r);
		lua_settop(L, top);
	}
}

int rl_lua_unpack(lua_State *L, struct rl_lua *h, const struct rl_parcel *p)
{
	struct reader r = {L, h, p, p->data, {L, 0, 0}, lua_gettop(L) + 1, 1, 0};
	int n = (int)p->values;
	uint32_t items = take_u32(&r);
	if (!h->codec)
		luaL_error(L, "this Lua state is closing");
	luaL_checkstack(L, n + RL_ITEMS_SLOTS + 24, "too much to arrive");
	if (items == 0) {
		for (; r.nth <= n; r.nth++)
			read_value(&r, take_tag(&r));
		return n;
	}
	r.items.base = r.first + n;
	lua_settop(L, r.items.base + RL_ITEMS_NEAR);
	for (; r.nth <= n; r.nth++) {
		read_value(&r, take_tag(&r));
		lua_replace(L, r.first + r.nth - 1);
	}
	read_contents(&r, items);
	lua_settop(L, r.first + n - 1);
	return n;
}
