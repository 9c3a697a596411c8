/* SPDX-License-Identifier: MIT */
/*
 * lcode: the code of Lua functions: dumped once where they come from, loaded once where they go.
 *
 * The sender knows a function again by identity (a weak table), and one that was made anew from the
 * same source by its dump. The receiver keeps what makes closures of a code. Both keep a reference,
 * so a code's address stands for it; both forget everything when there are RL_CODES_MAX of them.
 */
#include "lua/lparcel.h"

#include "lua/lbytecode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_SLOTS (2 * RL_CODES_MAX)

static void code_free(struct rl_shared *o)
{
	free(o);
}

static const struct rl_shared_class code_class = {"ringlet.code", code_free};

/* ---- where functions come from -------------------------------------------------------------- */

/* What lua_dump writes: memory that is freed whatever happens then. */
struct dump {
	char *data;
	size_t len, cap;
};

static int dump_write(lua_State *L, const void *data, size_t n, void *p)
{
	struct dump *d = p;
	(void)L;
	if (d->len + n > d->cap) {
		size_t cap = 2 * d->cap + n + 256;
		char *more = realloc(d->data, cap);
		if (!more)
			return 1;
		d->data = more;
		d->cap = cap;
	}
	if (n > 0)
		memcpy(d->data + d->len, data, n);
	d->len += n;
	return 0;
}

static uint64_t hash_of(const char *data, size_t len)
{
	uint64_t h = len, word;
	for (; len >= sizeof word; data += sizeof word, len -= sizeof word) {
		memcpy(&word, data, sizeof word);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	word = 0;
	memcpy(&word, data, len);
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* Where the code with this dump is in the set of known ones, or belongs. */
static struct rl_code **known_slot(struct rl_codec *c, const struct dump *d, uint64_t hash)
{
	for (unsigned i = hash % KNOWN_SLOTS;; i = (i + 1) % KNOWN_SLOTS) {
		struct rl_code *k = c->known[i];
		if (!k || (k->hash == hash && k->dump_len == d->len &&
			memcmp(k->bytes, d->data, d->len) == 0))
			return &c->known[i];
	}
}

static void push_weak(lua_State *L, const char *mode)
{
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushstring(L, mode);
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
}

/* The functions of codes that are forgotten must be forgotten first. */
static void forget_known(lua_State *L, struct rl_codec *c, int codes)
{
	push_weak(L, "k");
	lua_pushvalue(L, -1);
	lua_rawseti(L, LUA_REGISTRYINDEX, c->known_ref);
	lua_replace(L, codes);
	for (unsigned i = 0; i < KNOWN_SLOTS; i++) {
		if (c->known[i])
			rl_shared_put(&c->known[i]->shared);
		c->known[i] = NULL;
	}
	c->known_len = 0;
}

/* Push the dump of a function that makes closures with n upvalues, as the head of lbytecode.h
 * has it. */
static void push_maker(lua_State *L, struct rl_codec *c, int n)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->frames_ref);
	lua_rawgeti(L, -1, n + 1);
	if (lua_isstring(L, -1)) {
		lua_remove(L, -2);
		return;
	}
	lua_pop(L, 1);
	char names[6 * RL_CODE_UPVALUES_MAX], *at = names;
	*at = '\0';
	for (int i = 1; i <= n; i++)
		at += sprintf(at, "%sa%d", i > 1 ? "," : "", i);
	lua_pushfstring(L, "return function(%s) return function() return %s end end", names, names);
	const char *text = lua_tostring(L, -1);
	struct dump d = {0};
	if (luaL_loadbuffer(L, text, strlen(text), "=?") || lua_pcall(L, 0, 1, 0))
		lua_error(L);
	bool failed = rl_dump(L, dump_write, &d);
	lua_pop(L, 2);
	if (!failed)
		lua_pushlstring(L, d.data, d.len);
	free(d.data);
	if (failed)
		luaL_error(L, "not enough memory");
	lua_pushvalue(L, -1);
	lua_rawseti(L, -3, n + 1);
	lua_remove(L, -2);
}

/* A code with one reference; NULL when there is no memory. */
static struct rl_code *code_new(const struct dump *d, uint64_t hash, int upvalues,
	const char *maker, size_t maker_len)
{
	struct rl_code *code = malloc(sizeof *code + 2 * d->len + maker_len);
	if (!code)
		return NULL;
	memset(code, 0, sizeof *code);
	rl_shared_init(&code->shared, &code_class);
	code->hash = hash;
	code->dump_len = (uint32_t)d->len;
	code->upvalues = (uint8_t)upvalues;
	memcpy(code->bytes, d->data, d->len);
	int64_t n = rl_bytecode_wrap(d->data, d->len, maker, maker_len, code->bytes + d->len,
		code->assigned);
	code->wraps = n > 0;
	code->chunk_len = n > 0 ? (uint32_t)n : 0;
	return code;
}

static struct rl_code *known_or_new(struct rl_codec *c, const struct dump *d, int upvalues,
	const char *maker, size_t maker_len, bool *is_new)
{
	uint64_t hash = hash_of(d->data, d->len);
	struct rl_code **slot = known_slot(c, d, hash);
	*is_new = !*slot;
	if (!*slot)
		*slot = code_new(d, hash, upvalues, maker, maker_len);
	return *slot;
}

static int count_upvalues(lua_State *L, int i)
{
	lua_Debug ar;
	lua_pushvalue(L, i);
	lua_getinfo(L, ">u", &ar);
	return ar.nups;
}

static bool is_ours(lua_State *L, struct rl_lua *h, int i)
{
	lua_Debug ar;
	lua_pushvalue(L, i);
	lua_getinfo(L, ">S", &ar);
	return rl_lua_is_ours(h, &ar);
}

struct rl_code *rl_code_of(lua_State *L, struct rl_lua *h, int i, int codes, bool *is_new)
{
	struct rl_codec *c = h->codec;
	struct dump d = {0};
	size_t maker_len;
	int upvalues = count_upvalues(L, i);
	if (upvalues > RL_CODE_UPVALUES_MAX)
		return NULL;
	if (c->known_len >= RL_CODES_MAX)
		forget_known(L, c, codes);
	push_maker(L, c, upvalues);
	const char *maker = lua_tolstring(L, -1, &maker_len);
	lua_pushvalue(L, i);
	struct rl_code *code = NULL;
	if (rl_dump(L, dump_write, &d) == 0)
		code = known_or_new(c, &d, upvalues, maker, maker_len, is_new);
	free(d.data);
	lua_pop(L, 2);
	if (!code)
		luaL_error(L, "not enough memory");
	if (*is_new) {
		c->known_len++;
		code->is_ours = is_ours(L, h, i);
	}
	lua_pushvalue(L, i);
	lua_pushlightuserdata(L, code);
	lua_rawset(L, codes);
	return code;
}

void rl_code_push_known(lua_State *L, struct rl_lua *h)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->known_ref);
}

struct rl_code *rl_code_known(lua_State *L, int i, int codes)
{
	lua_pushvalue(L, i);
	lua_rawget(L, codes);
	struct rl_code *code = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return code;
}

void rl_code_forget(lua_State *L, int i, int codes)
{
	lua_pushvalue(L, i);
	lua_pushnil(L);
	lua_rawset(L, codes);
}

/* ---- where functions go --------------------------------------------------------------------- */

static void forget_makers(lua_State *L, struct rl_codec *c)
{
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, c->makers_ref);
	for (unsigned i = 0; i < c->makers_len; i++)
		rl_shared_put(&c->makers[i]->shared);
	c->makers_len = 0;
}

static void load(lua_State *L, const char *data, size_t len)
{
	if (luaL_loadbuffer(L, data, len, "=job"))
		lua_error(L);
}

/* Push what makes closures of the code. */
static void push_new_maker(lua_State *L, struct rl_codec *c, struct rl_code *code)
{
	if (c->makers_len >= RL_CODES_MAX)
		forget_makers(L, c);
	load(L, code->bytes + code->dump_len, code->chunk_len);
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->makers_ref);
	lua_pushlightuserdata(L, code);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	rl_shared_get(&code->shared);
	c->makers[c->makers_len++] = code;
}

void rl_code_push_closure(lua_State *L, struct rl_lua *h, struct rl_code *code)
{
	if (!code->wraps) {
		load(L, code->bytes, code->dump_len);
		return;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->codec->makers_ref);
	lua_pushlightuserdata(L, code);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		push_new_maker(L, h->codec, code);
	}
	lua_call(L, 0, 1);
}

/* ---- Lua ------------------------------------------------------------------------------------ */

/* assigned_upvalues(fn) -> list of the names of the upvalues that it, or a function in it, assigns;
 * nil when there are none, and for C functions */
static int lcode_assigned_upvalues(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	bool is_new;
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	if (lua_iscfunction(L, 1))
		return 0;
	rl_code_push_known(L, h);
	struct rl_code *code = rl_code_known(L, 1, 2);
	if (!code)
		code = rl_code_of(L, h, 1, 2, &is_new);
	lua_settop(L, 1);
	if (!code)
		return 0;
	for (int i = 0, n = 0; i < code->upvalues; i++) {
		if (!(code->assigned[i / 8] >> i % 8 & 1))
			continue;
		if (n == 0)
			lua_newtable(L);
		const char *name = lua_getupvalue(L, 1, i + 1);
		lua_pop(L, 1);
		lua_pushstring(L, name);
		lua_rawseti(L, 2, ++n);
	}
	return lua_gettop(L) - 1;
}

static const luaL_Reg functions[] = {
	{"assigned_upvalues", lcode_assigned_upvalues},
	{NULL, NULL},
};

/* Expects the core table on top. */
void rl_code_open(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	push_weak(L, "k");
	h->codec->known_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	h->codec->makers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	h->codec->frames_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

void rl_code_term(struct rl_lua *h)
{
	struct rl_codec *c = h->codec;
	for (unsigned i = 0; i < c->makers_len; i++)
		rl_shared_put(&c->makers[i]->shared);
	for (unsigned i = 0; i < KNOWN_SLOTS; i++)
		if (c->known[i])
			rl_shared_put(&c->known[i]->shared);
}
