/* SPDX-License-Identifier: MIT */
/* lsbuffer: shared bytes from Lua. Positions are those of strings: negative ones from the end. */
#include "lua/lsobject.h"

#include <string.h>

static struct rl_sbuffer *check_buffer(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_BUFFER, "buffer");
}

struct rl_sbuffer *rl_lsbuffer_test(lua_State *L, int i)
{
	struct rl_shared *o = rl_lua_to_shared(L, i);
	return o && o->class == &rl_sbuffer_class ? (struct rl_sbuffer *)o : NULL;
}

/* The bytes of a string or of a buffer; NULL when it is neither. */
static const char *bytes_at(lua_State *L, int arg, size_t *len)
{
	if (lua_type(L, arg) == LUA_TSTRING)
		return lua_tolstring(L, arg, len);
	struct rl_sbuffer *b = rl_lsbuffer_test(L, arg);
	*len = b ? b->len : 0;
	return b ? b->data : NULL;
}

/* The range [i, j] at arguments 2 and 3, clipped; returns its length. */
static size_t check_range(lua_State *L, struct rl_lua *h, size_t len, size_t *off)
{
	int64_t n = (int64_t)len;
	int64_t i = rl_lsobject_integer(L, h, 2, 1, "the first position");
	int64_t j = rl_lsobject_integer(L, h, 3, -1, "the last position");
	i = i < 0 ? i + n + 1 : i;
	j = j < 0 ? j + n + 1 : j;
	i = i < 1 ? 1 : i;
	j = j > n ? n : j;
	*off = i > j ? 0 : (size_t)i - 1;
	return i > j ? 0 : (size_t)(j - i + 1);
}

static int lsbuffer_len(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)check_buffer(L, rl_lua_of(L))->len);
	return 1;
}

static int lsbuffer_tostring(lua_State *L)
{
	struct rl_sbuffer *b = check_buffer(L, rl_lua_of(L));
	lua_pushlstring(L, b->data, b->len);
	return 1;
}

static int lsbuffer_sub(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sbuffer *b = check_buffer(L, h);
	size_t off, n = check_range(L, h, b->len, &off);
	lua_pushlstring(L, b->data + off, n);
	return 1;
}

static int lsbuffer_slice(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sbuffer *b = check_buffer(L, h);
	size_t off, n = check_range(L, h, b->len, &off);
	rl_lsobject_push(L, h, (struct rl_shared *)rl_sbuffer_slice(b, off, n));
	return 1;
}

/* equals(b, what) -> boolean */
static int lsbuffer_equals(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sbuffer *b = check_buffer(L, h);
	size_t len;
	const char *bytes = bytes_at(L, 2, &len);
	if (!bytes)
		rl_lua_misuse(L, h, "a string or a buffer expected");
	lua_pushboolean(L, len == b->len && memcmp(bytes, b->data, len) == 0);
	return 1;
}

/* Called for two userdata of this class. */
static int lsbuffer_eq(lua_State *L)
{
	size_t a_len, b_len;
	const char *a = bytes_at(L, 1, &a_len), *b = bytes_at(L, 2, &b_len);
	lua_pushboolean(L, a && b && a_len == b_len && memcmp(a, b, a_len) == 0);
	return 1;
}

/* shared_buffer(...) -> buffer: strings and buffers, one behind the other */
static int lsbuffer_new(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int n = lua_gettop(L);
	size_t total = 0, len;
	for (int i = 1; i <= n; i++) {
		if (!bytes_at(L, i, &len)) {
			lua_pushfstring(L, "strings and buffers expected, got a %s", luaL_typename(L, i));
			rl_lua_misuse(L, h, lua_tostring(L, -1));
		}
		total += len;
	}
	struct rl_sbuffer *b = rl_sbuffer_new(total);
	char *to = b ? b->bytes : NULL;
	for (int i = 1; i <= n && b; i++) {
		const char *bytes = bytes_at(L, i, &len);
		memcpy(to, bytes, len);
		to += len;
	}
	rl_lsobject_push(L, h, (struct rl_shared *)b);
	return 1;
}

static const luaL_Reg methods[] = {
	{"tostring", lsbuffer_tostring},
	{"sub", lsbuffer_sub},
	{"slice", lsbuffer_slice},
	{"equals", lsbuffer_equals},
	{"__len", lsbuffer_len},
	{"__eq", lsbuffer_eq},
	{"__tostring", lsbuffer_tostring},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"shared_buffer", lsbuffer_new},
	{NULL, NULL},
};

void rl_lua_open_sbuffer(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lsobject_class(L, h, RL_LSOBJECT_BUFFER, &rl_sbuffer_class, methods);
	lua_pop(L, 1);
}
