/* SPDX-License-Identifier: MIT */
/*
 * lbuffer: the methods of slices: reading bytes without making Lua strings of them.
 *
 * Two classes with the same methods: a loan has no finalizer, so making one for each read costs the
 * collector nothing extra; an owned slice gives its memory back when collected.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "lua/lbuffer.h"

#include "rt/stream.h"

#include <string.h>

#define LOAN "ringlet.slice"
#define OWNED "ringlet.buffer"
#define LEN_MAX 0x7fffffff
#define NUMBER_DIGITS_MAX 15 /* exact in a double */

static const char loan_key, owned_key; /* their addresses name the metatables */

struct rl_slice *rl_lbuffer_test(lua_State *L, int arg)
{
	struct rl_slice *s = lua_touserdata(L, arg);
	if (!s || rl_rawlen(L, arg) != sizeof *s)
		return NULL;
	return s->tag == &loan_key || s->tag == &owned_key ? s : NULL;
}

bool rl_lbuffer_is_valid(const struct rl_lua *h, const struct rl_slice *s)
{
	const struct rl_net *net = h->shard.net;
	if (s->serial == 0)
		return s->chunk != NULL;
	return s->chunk && net && net->serial == s->serial && s->chunk->gen == s->gen;
}

static struct rl_slice *check_slice(lua_State *L, int arg)
{
	struct rl_slice *s = rl_lbuffer_test(L, arg);
	if (!s)
		luaL_argerror(L, arg, "slice expected");
	if (!rl_lbuffer_is_valid(rl_lua_of(L), s))
		luaL_error(L, "slice is no longer valid");
	return s;
}

static const char *bytes_of(const struct rl_slice *s)
{
	return s->chunk->data + s->off;
}

/* A userdata of the class under `key`, closed. */
static struct rl_slice *new_slice(lua_State *L, const char *key)
{
	struct rl_slice *s = lua_newuserdata(L, sizeof *s);
	memset(s, 0, sizeof *s);
	s->tag = key;
	lua_pushlightuserdata(L, (void *)key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_setmetatable(L, -2);
	return s;
}

void rl_lbuffer_push(lua_State *L, struct rl_lua *h, const struct rl_piece *p)
{
	struct rl_slice *s = lua_newuserdata(L, sizeof *s);
	*s = (struct rl_slice){
		&loan_key, p->chunk, p->chunk->gen, p->off, p->len, h->shard.net->serial,
	};
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->loan_ref);
	lua_setmetatable(L, -2);
}

static void push_copy(lua_State *L, const char *data, size_t len)
{
	struct rl_slice *s = new_slice(L, &owned_key);
	if (len > LEN_MAX)
		luaL_error(L, "too long for a buffer");
	s->chunk = rl_chunk_new_owned((uint32_t)len);
	if (!s->chunk)
		luaL_error(L, "not enough memory");
	memcpy(s->chunk->data, data, len);
	s->len = (uint32_t)len;
}

/* Positions as in string.sub: negative ones count from the end. */

static lua_Integer from_start(lua_Integer pos, uint32_t len)
{
	if (pos >= 0)
		return pos;
	return pos + (lua_Integer)len + 1;
}

/* The range [i, j] at arguments `arg` and `arg + 1`, clipped; returns its length. */
static uint32_t check_range(lua_State *L, int arg, uint32_t len, lua_Integer j_default,
	uint32_t *off)
{
	lua_Integer i = from_start(luaL_optinteger(L, arg, 1), len);
	lua_Integer j = from_start(luaL_optinteger(L, arg + 1, j_default), len);
	if (i < 1)
		i = 1;
	if (j > (lua_Integer)len)
		j = len;
	*off = i > j ? 0 : (uint32_t)i - 1;
	return i > j ? 0 : (uint32_t)(j - i + 1);
}

/* Where `n` bytes at position `arg` (default 1) lie; raises when they are not all within. */
static const unsigned char *check_at(lua_State *L, int arg, uint32_t n)
{
	struct rl_slice *s = check_slice(L, 1);
	lua_Integer i = from_start(luaL_optinteger(L, arg, 1), s->len);
	if (i < 1 || i - 1 + (lua_Integer)n > (lua_Integer)s->len)
		luaL_argerror(L, arg, "outside the slice");
	return (const unsigned char *)bytes_of(s) + i - 1;
}

static int lslice_len(lua_State *L)
{
	lua_pushinteger(L, check_slice(L, 1)->len);
	return 1;
}

static int lslice_tostring(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	lua_pushlstring(L, bytes_of(s), s->len);
	return 1;
}

static int lslice_sub(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	uint32_t off, n = check_range(L, 2, s->len, -1, &off);
	lua_pushlstring(L, bytes_of(s) + off, n);
	return 1;
}

static int lslice_byte(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	lua_Integer i = luaL_optinteger(L, 2, 1);
	uint32_t off, n = check_range(L, 2, s->len, i, &off);
	luaL_checkstack(L, (int)n, "too many bytes");
	for (uint32_t k = 0; k < n; k++)
		lua_pushinteger(L, (unsigned char)bytes_of(s)[off + k]);
	return (int)n;
}

static int lslice_find(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	size_t len;
	const char *what = luaL_checklstring(L, 2, &len);
	lua_Integer i = from_start(luaL_optinteger(L, 3, 1), s->len);
	if (i < 1)
		i = 1;
	if (i - 1 > (lua_Integer)s->len)
		return lua_pushnil(L), 1;
	const char *from = bytes_of(s) + i - 1;
	size_t left = s->len - (size_t)(i - 1);
	const char *at = len == 0 ? from : memmem(from, left, what, len);
	if (!at)
		return lua_pushnil(L), 1;
	lua_pushinteger(L, at - bytes_of(s) + 1);
	lua_pushinteger(L, at - bytes_of(s) + (lua_Integer)len);
	return 2;
}

static int lslice_u8(lua_State *L)
{
	lua_pushinteger(L, check_at(L, 2, 1)[0]);
	return 1;
}

static int lslice_u16be(lua_State *L)
{
	const unsigned char *b = check_at(L, 2, 2);
	lua_pushinteger(L, b[0] << 8 | b[1]);
	return 1;
}

static int lslice_u16le(lua_State *L)
{
	const unsigned char *b = check_at(L, 2, 2);
	lua_pushinteger(L, b[1] << 8 | b[0]);
	return 1;
}

static int push_u32(lua_State *L, unsigned a, unsigned b, unsigned c, unsigned d)
{
	lua_pushinteger(L, (lua_Integer)(a << 24 | b << 16 | c << 8 | d));
	return 1;
}

static int lslice_u32be(lua_State *L)
{
	const unsigned char *b = check_at(L, 2, 4);
	return push_u32(L, b[0], b[1], b[2], b[3]);
}

static int lslice_u32le(lua_State *L)
{
	const unsigned char *b = check_at(L, 2, 4);
	return push_u32(L, b[3], b[2], b[1], b[0]);
}

/* A decimal integer at position i: its value and the position behind it; nil when there is none, or
 * when it has more digits than fit. */
static int lslice_number(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	lua_Integer start = from_start(luaL_optinteger(L, 2, 1), s->len);
	const char *from = bytes_of(s), *end = from + s->len;
	if (start < 1 || start > (lua_Integer)s->len)
		return lua_pushnil(L), 1;
	const char *p = from + start - 1;
	bool negative = *p == '-';
	p += negative;
	const char *digits = p;
	int64_t n = 0;
	while (p < end && *p >= '0' && *p <= '9' && p - digits <= NUMBER_DIGITS_MAX)
		n = n * 10 + (*p++ - '0');
	if (p == digits || p - digits > NUMBER_DIGITS_MAX)
		return lua_pushnil(L), 1;
	lua_pushinteger(L, (lua_Integer)(negative ? -n : n));
	lua_pushinteger(L, p - from + 1);
	return 2;
}

static int lslice_equals(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	size_t len;
	const char *what = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, len == s->len && memcmp(bytes_of(s), what, len) == 0);
	return 1;
}

static int lslice_starts(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	size_t len;
	const char *what = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, len <= s->len && memcmp(bytes_of(s), what, len) == 0);
	return 1;
}

/* A part of a slice lives as long as the whole; of an owned one it is an owner too. */
static int lslice_slice(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	uint32_t off, n = check_range(L, 2, s->len, -1, &off);
	struct rl_slice *part = new_slice(L, s->serial ? &loan_key : &owned_key);
	*part = *s;
	part->tag = s->serial ? &loan_key : &owned_key;
	part->off += off;
	part->len = n;
	if (!s->serial)
		rl_chunk_get(s->chunk);
	return 1;
}

static int lslice_retain(lua_State *L)
{
	struct rl_slice *s = check_slice(L, 1);
	push_copy(L, bytes_of(s), s->len);
	return 1;
}

/* An owner lets go; a loan ends, and with it every slice of the same read. Idempotent. */
static int lslice_release(lua_State *L)
{
	struct rl_slice *s = rl_lbuffer_test(L, 1);
	if (!s)
		return luaL_argerror(L, 1, "slice expected");
	struct rl_chunk *c = s->chunk;
	bool valid = rl_lbuffer_is_valid(rl_lua_of(L), s);
	s->chunk = NULL;
	if (!valid)
		return 0;
	if (!s->serial)
		rl_chunk_put(c);
	else if (c->reader)
		rl_stream_unlend(c->reader);
	return 0;
}

static int lslice_is_valid(lua_State *L)
{
	struct rl_slice *s = rl_lbuffer_test(L, 1);
	if (!s)
		return luaL_argerror(L, 1, "slice expected");
	lua_pushboolean(L, rl_lbuffer_is_valid(rl_lua_of(L), s));
	return 1;
}

/* An owned slice with a copy of a string. */
static int lbuffer_new(lua_State *L)
{
	size_t len;
	const char *data = luaL_checklstring(L, 1, &len);
	push_copy(L, data, len);
	return 1;
}

static int lbuffer_is(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, rl_lbuffer_test(L, 1) != NULL);
	return 1;
}

static const luaL_Reg methods[] = {
	{"find", lslice_find},
	{"byte", lslice_byte},
	{"sub", lslice_sub},
	{"tostring", lslice_tostring},
	{"u8", lslice_u8},
	{"u16be", lslice_u16be},
	{"u16le", lslice_u16le},
	{"u32be", lslice_u32be},
	{"u32le", lslice_u32le},
	{"number", lslice_number},
	{"slice", lslice_slice},
	{"equals", lslice_equals},
	{"starts", lslice_starts},
	{"retain", lslice_retain},
	{"release", lslice_release},
	{"is_valid", lslice_is_valid},
	{"__len", lslice_len},
	{"__tostring", lslice_tostring},
	{NULL, NULL},
};

static const luaL_Reg owned_methods[] = {
	{"__gc", lslice_release},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"buffer_new", lbuffer_new},
	{"buffer_is", lbuffer_is},
	{NULL, NULL},
};

/* Expects the core table on top, where both classes are put too: the Lua side documents them. */
void rl_lua_open_buffer(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	lua_pushlightuserdata(L, (void *)&loan_key);
	rl_lua_class(L, h, LOAN, methods);
	lua_pushvalue(L, -1);
	h->loan_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_pushlightuserdata(L, (void *)&owned_key);
	rl_lua_class(L, h, OWNED, methods);
	rl_lua_register(L, h, owned_methods);
	lua_rawset(L, LUA_REGISTRYINDEX);
}
