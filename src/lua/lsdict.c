/* SPDX-License-Identifier: MIT */
/*
 * lsdict: shared dicts from Lua. Nothing here parks, and no Lua runs while a part of a dict is
 * locked: what goes in is encoded before, what comes out is a copy that is decoded after.
 */
#include "lua/lsobject.h"

#include "base/err.h"
#include "lua/lticket.h"
#include "rt/sbuffer.h"
#include "rt/sdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* What every operation begins with. */
struct call {
	struct rl_lua *h;
	struct rl_sdict *d;
	struct rl_sdict_at at;
};

static struct rl_sdict *check_dict(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_DICT, "dict");
}

/* The clock of the run; outside of one that of the kernel, which is the same on every backend but
 * sim. */
static int64_t clock_ns(struct rl_lua *h)
{
	struct timespec ts;
	if (h->shard.os)
		return rl_shard_now(&h->shard);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The clock is read only for a dict in which something expires. */
static int64_t dict_now(struct rl_lua *h, const struct rl_sdict *d)
{
	return rl_sdict_is_timed(d) ? clock_ns(h) : 0;
}

static struct call check_call(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct call c = {.h = h, .d = check_dict(L, h)};
	if (lua_type(L, 2) != LUA_TSTRING) {
		lua_pushfstring(L, "the key must be a string, not a %s", luaL_typename(L, 2));
		rl_lua_misuse(L, h, lua_tostring(L, -1));
	}
	c.at.key = lua_tolstring(L, 2, &c.at.len);
	if (c.at.len > RL_SDICT_KEY_MAX)
		rl_lua_misuse(L, h, "the key is longer than 64 KiB");
	c.at.now_ns = dict_now(h, c.d);
	return c;
}

/* Seconds from now at `arg` as the time when something expires; nil: never. */
static int64_t check_ttl(lua_State *L, struct rl_lua *h, int arg)
{
	if (lua_isnoneornil(L, arg))
		return -1;
	double t = lua_type(L, arg) == LUA_TNUMBER ? lua_tonumber(L, arg) : 0;
	if (!(t > 0))
		rl_lua_misuse(L, h, "the time to live must be seconds, more than 0");
	int64_t now = clock_ns(h);
	double ns = t * 1e9;
	return ns > 4e18 - (double)now ? -1 : now + (int64_t)ceil(ns);
}

/* A long string is bytes, which every get takes from where they lie; the codec has the rest. */
static void encode(lua_State *L, struct rl_lua *h, int arg, const char *name, struct rl_value *out)
{
	size_t len;
	if (lua_isnoneornil(L, arg))
		rl_lua_misuse(L, h, "nil cannot be stored: delete the key");
	const char *bytes = lua_type(L, arg) == LUA_TSTRING ? lua_tolstring(L, arg, &len) : NULL;
	if (!bytes || len <= RL_VALUE_TEXT_MAX) {
		rl_lua_encode(L, h, arg, name, out);
		return;
	}
	struct rl_sbuffer *b = rl_sbuffer_new(len);
	if (!b)
		luaL_error(L, "not enough memory");
	b->shared.class = &rl_sbuffer_text_class;
	memcpy(b->bytes, bytes, len);
	*out = (struct rl_value){.kind = RL_VALUE_SHARED};
	out->shared = &b->shared;
}

/* Push the value and drop it. */
static void take(lua_State *L, struct rl_lua *h, struct rl_value *v)
{
	if (v->kind != RL_VALUE_SHARED || v->shared->class != &rl_sbuffer_text_class) {
		rl_lua_take_value(L, h, v, NULL);
		return;
	}
	struct rl_sbuffer *b = (struct rl_sbuffer *)v->shared;
	lua_pushlstring(L, b->data, b->len); /* raises only for want of memory */
	rl_value_drop(v);
}

/* Fail with a code; `invalid` is what -EINVAL means here. */
static int fail(lua_State *L, int err, const char *invalid)
{
	if (err == -ENOMEM)
		return luaL_error(L, "not enough memory");
	if (err == -EINVAL)
		return rl_lsobject_fail(L, err, invalid);
	if (err == -ENOSPC)
		return rl_lsobject_fail(L, err, "no room for another key or value");
	return rl_lsobject_fail(L, err, err == -EEXIST ? "the key is there" : "no such key");
}

/* get(d, key) -> value | nil | nil, message, "EINVAL" */
static int lsdict_get(lua_State *L)
{
	struct call c = check_call(L);
	struct rl_value v;
	int err = rl_sdict_get(c.d, &c.at, &v);
	if (err == -ENOENT)
		return lua_pushnil(L), 1;
	if (err < 0)
		return fail(L, err, "the value is a list");
	take(L, c.h, &v);
	return 1;
}

static int put(lua_State *L, enum rl_sdict_put how)
{
	struct call c = check_call(L);
	int64_t expires_ns = check_ttl(L, c.h, 4);
	struct rl_value v;
	encode(L, c.h, 3, "value", &v);
	int err = rl_sdict_put(c.d, &c.at, how, &v, expires_ns);
	rl_value_drop(&v);
	if (err < 0)
		return fail(L, err, "");
	lua_pushboolean(L, 1);
	return 1;
}

/* set(d, key, value, [ttl]) -> true | nil, message, code; so add and replace */
static int lsdict_set(lua_State *L)
{
	return put(L, RL_SDICT_SET);
}

static int lsdict_add(lua_State *L)
{
	return put(L, RL_SDICT_ADD);
}

static int lsdict_replace(lua_State *L)
{
	return put(L, RL_SDICT_REPLACE);
}

static void check_scalar(lua_State *L, struct rl_lua *h, int arg)
{
	int type = lua_type(L, arg);
	bool fits = type == LUA_TNIL || type == LUA_TNONE || type == LUA_TBOOLEAN
		|| type == LUA_TNUMBER || type == LUA_TSTRING || rl_lua_to_shared(L, arg);
	if (!fits)
		rl_lua_misuse(L, h, "only numbers, strings, booleans, shared objects and nil can be "
			"compared");
}

/* cas(d, key, old, new, [ttl]) -> true | false, what is there | nil, message, code */
static int lsdict_cas(lua_State *L)
{
	struct call c = check_call(L);
	int64_t expires_ns = check_ttl(L, c.h, 5);
	struct rl_value old = {.kind = RL_VALUE_NONE}, v = {.kind = RL_VALUE_NONE}, actual;
	check_scalar(L, c.h, 3);
	check_scalar(L, c.h, 4);
	lua_settop(L, 5);
	if (!lua_isnil(L, 3))
		encode(L, c.h, 3, "old", &old);
	if (!lua_isnil(L, 4))
		encode(L, c.h, 4, "value", &v);
	int err = rl_sdict_cas(c.d, &c.at, &old, &v, expires_ns, &actual);
	rl_value_drop(&old);
	rl_value_drop(&v);
	if (err < 0 && err != -EAGAIN)
		return fail(L, err, "the value is a list");
	lua_pushboolean(L, err == 0);
	if (err == -EAGAIN)
		take(L, c.h, &actual);
	return err == 0 ? 1 : 2;
}

static void check_number(lua_State *L, struct rl_lua *h, int arg, const char *what,
	struct rl_value *out)
{
	if (lua_type(L, arg) != LUA_TNUMBER) {
		lua_pushfstring(L, "%s must be a number", what);
		rl_lua_misuse(L, h, lua_tostring(L, -1));
	}
	rl_lua_encode(L, h, arg, what, out);
}

/* incr(d, key, [n], [init], [ttl]) -> number | nil, message, code */
static int lsdict_incr(lua_State *L)
{
	struct call c = check_call(L);
	int64_t expires_ns = check_ttl(L, c.h, 5);
	struct rl_value by = {.kind = RL_VALUE_INTEGER}, init = {.kind = RL_VALUE_NONE}, out;
	by.integer = 1;
	if (!lua_isnoneornil(L, 3))
		check_number(L, c.h, 3, "the increment", &by);
	if (!lua_isnoneornil(L, 4))
		check_number(L, c.h, 4, "what to begin with", &init);
	int err = rl_sdict_incr(c.d, &c.at, &by, &init, expires_ns, &out);
	if (err < 0)
		return fail(L, err, "the value is no number");
	take(L, c.h, &out);
	return 1;
}

/* delete(d, key) -> boolean */
static int lsdict_delete(lua_State *L)
{
	struct call c = check_call(L);
	lua_pushboolean(L, rl_sdict_delete(c.d, &c.at) == 0);
	return 1;
}

/* ttl(d, key) -> seconds, or math.huge: never | nil */
static int lsdict_ttl(lua_State *L)
{
	struct call c = check_call(L);
	int64_t expires_ns;
	if (rl_sdict_expiry(c.d, &c.at, &expires_ns) < 0)
		lua_pushnil(L);
	else
		lua_pushnumber(L, expires_ns < 0 ? HUGE_VAL : (double)(expires_ns - c.at.now_ns) / 1e9);
	return 1;
}

/* expire(d, key, [ttl]) -> boolean */
static int lsdict_expire(lua_State *L)
{
	struct call c = check_call(L);
	int64_t expires_ns = check_ttl(L, c.h, 3);
	lua_pushboolean(L, rl_sdict_expire(c.d, &c.at, expires_ns) == 0);
	return 1;
}

static int push(lua_State *L, bool front)
{
	struct call c = check_call(L);
	struct rl_value v;
	encode(L, c.h, 3, "value", &v);
	int len = rl_sdict_push(c.d, &c.at, &v, front);
	rl_value_drop(&v);
	if (len < 0)
		return fail(L, len, "the value is no list");
	lua_pushinteger(L, len);
	return 1;
}

/* push(d, key, value) -> length | nil, message, code; so push_left */
static int lsdict_push(lua_State *L)
{
	return push(L, false);
}

static int lsdict_push_left(lua_State *L)
{
	return push(L, true);
}

static int pop(lua_State *L, bool front)
{
	struct call c = check_call(L);
	struct rl_value v;
	int len = rl_sdict_pop(c.d, &c.at, &v, front);
	if (len == -ENOENT)
		return lua_pushnil(L), 1;
	if (len < 0)
		return fail(L, len, "the value is no list");
	take(L, c.h, &v);
	return 1;
}

/* pop(d, key) -> value | nil | nil, message, code; so pop_right */
static int lsdict_pop(lua_State *L)
{
	return pop(L, true);
}

static int lsdict_pop_right(lua_State *L)
{
	return pop(L, false);
}

/* len(d, key) -> integer | nil, message, code */
static int lsdict_len(lua_State *L)
{
	struct call c = check_call(L);
	int len = rl_sdict_len(c.d, &c.at);
	if (len < 0)
		return fail(L, len, "the value is no list");
	lua_pushinteger(L, len);
	return 1;
}

/* Called protected: the bytes are to be freed in any case. */
static int build_keys(lua_State *L)
{
	const struct rl_sdict_keys *keys = lua_touserdata(L, 1);
	const char *p = keys->bytes;
	lua_createtable(L, (int)keys->count, 0);
	for (size_t i = 0; i < keys->count; i++) {
		uint32_t len;
		memcpy(&len, p, sizeof len);
		lua_pushlstring(L, p + sizeof len, len);
		lua_rawseti(L, -2, (int)i + 1);
		p += sizeof len + len;
	}
	return 1;
}

/* keys(d, [max]) -> list */
static int lsdict_keys(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sdict *d = check_dict(L, h);
	int64_t max = rl_lsobject_integer(L, h, 2, 1024, "max");
	struct rl_sdict_keys keys;
	if (max < 0)
		rl_lua_misuse(L, h, "max must be 0 or more");
	if (rl_sdict_keys(d, dict_now(h, d), (size_t)max, &keys) < 0)
		return luaL_error(L, "not enough memory");
	lua_pushcfunction(L, build_keys);
	lua_pushlightuserdata(L, &keys);
	int status = lua_pcall(L, 1, 1, 0);
	free(keys.bytes);
	return status == 0 ? 1 : lua_error(L);
}

/* clear(d) -> how many went */
static int lsdict_clear(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)rl_sdict_clear(check_dict(L, rl_lua_of(L))));
	return 1;
}

/* purge(d) -> how many had expired */
static int lsdict_purge(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sdict *d = check_dict(L, h);
	lua_pushinteger(L, (lua_Integer)rl_sdict_purge(d, dict_now(h, d)));
	return 1;
}

/* size(d) -> integer */
static int lsdict_size(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)rl_sdict_size(check_dict(L, rl_lua_of(L))));
	return 1;
}

/* capacity(d) -> integer | nil */
static int lsdict_capacity(lua_State *L)
{
	size_t capacity = rl_sdict_capacity(check_dict(L, rl_lua_of(L)));
	if (capacity > 0)
		lua_pushinteger(L, (lua_Integer)capacity);
	else
		lua_pushnil(L);
	return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, name);
}

/* stats(d) -> table */
static int lsdict_stats(lua_State *L)
{
	struct rl_sdict *d = check_dict(L, rl_lua_of(L));
	struct rl_sdict_stats stats;
	rl_sdict_stats(d, &stats);
	lua_createtable(L, 0, 5);
	set_count(L, "size", rl_sdict_size(d));
	set_count(L, "hits", stats.hits);
	set_count(L, "misses", stats.misses);
	set_count(L, "evictions", stats.evictions);
	set_count(L, "expired", stats.expired);
	return 1;
}

static int lsdict_tostring(lua_State *L)
{
	struct rl_sdict *d = check_dict(L, rl_lua_of(L));
	int size = (int)rl_sdict_size(d);
	if (rl_sdict_capacity(d) > 0)
		lua_pushfstring(L, "ringlet.shared.dict: %d/%d", size, (int)rl_sdict_capacity(d));
	else
		lua_pushfstring(L, "ringlet.shared.dict: %d", size);
	return 1;
}

static void make_seed(struct rl_lua *h, uint64_t seed[2])
{
	struct rl_os *os = h->shard.os;
	if (!os && getrandom(seed, 2 * sizeof *seed, GRND_NONBLOCK) == 2 * sizeof *seed)
		return;
	for (int i = 0; i < 2; i++)
		seed[i] = os ? os->ops->random(os) : (uint64_t)clock_ns(h) ^ (uintptr_t)seed;
}

/* shared_dict(capacity, evict) -> dict; 0: no limit. The caller has checked them. */
static int lsdict_new(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sdict_options options = {
		.capacity = (size_t)lua_tonumber(L, 1), .evict = lua_toboolean(L, 2),
	};
	make_seed(h, options.seed);
	rl_lsobject_push(L, h, (struct rl_shared *)rl_sdict_new(&options));
	return 1;
}

static const luaL_Reg methods[] = {
	{"get", lsdict_get},
	{"set", lsdict_set},
	{"add", lsdict_add},
	{"replace", lsdict_replace},
	{"cas", lsdict_cas},
	{"incr", lsdict_incr},
	{"delete", lsdict_delete},
	{"ttl", lsdict_ttl},
	{"expire", lsdict_expire},
	{"push", lsdict_push},
	{"push_left", lsdict_push_left},
	{"pop", lsdict_pop},
	{"pop_right", lsdict_pop_right},
	{"len", lsdict_len},
	{"keys", lsdict_keys},
	{"clear", lsdict_clear},
	{"purge", lsdict_purge},
	{"size", lsdict_size},
	{"capacity", lsdict_capacity},
	{"stats", lsdict_stats},
	{"__tostring", lsdict_tostring},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"shared_dict", lsdict_new},
	{NULL, NULL},
};

void rl_lua_open_sdict(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lsobject_class(L, h, RL_LSOBJECT_DICT, &rl_sdict_class, methods);
	lua_pop(L, 1);
}
