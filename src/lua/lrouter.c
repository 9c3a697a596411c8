/* SPDX-License-Identifier: MIT */
/*
 * lrouter: hashes and routers. A router is a userdata that owns what its kind needs; lookups go
 * through a closure of it, which costs a call less than a method and needs no check of its type.
 *
 * A key is hashed to 64 bits, of which the upper 32 are its position: what `mod` and rings use, and
 * what Lua sees. Nodes are 0 to n - 1 here and 1 to n in Lua. The id of a node is the hash of its
 * label.
 */
#include "base/bounded.h"
#include "base/hash.h"
#include "base/hashring.h"
#include "base/jump.h"
#include "base/maglev.h"
#include "base/md5.h"
#include "base/rendezvous.h"
#include "lua/lshard.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define ROUTER "ringlet.core.router"

enum kind { KIND_NONE, KIND_MOD, KIND_JUMP, KIND_RING, KIND_BOUNDED, KIND_MAGLEV, KIND_RENDEZVOUS };

struct lrouter {
	enum kind kind; /* NONE until it is complete */
	uint32_t nodes;
	struct rl_hashring *ring;
	struct rl_bounded *bounded;
	struct rl_maglev *maglev;
	struct rl_rendezvous *rendezvous;
};

static struct lrouter *check_router(lua_State *L, int arg)
{
	struct lrouter *r = luaL_checkudata(L, arg, ROUTER);
	if (r->kind == KIND_NONE)
		luaL_argerror(L, arg, "a router expected");
	return r;
}

static uint64_t hash_of(const void *data, size_t len, bool md5)
{
	return md5 ? rl_md5_head(data, len) : rl_hash_bytes(data, len, 0);
}

/* A number that is a whole one of 64 bits. */
static bool is_whole(lua_State *L, int arg, int64_t *value)
{
#if LUA_VERSION_NUM >= 503
	int whole;
	*value = lua_tointegerx(L, arg, &whole);
	return whole;
#else
	double n = lua_tonumber(L, arg);
	if (!(n >= -0x1p63 && n < 0x1p63))
		return false;
	*value = (int64_t)n;
	return (double)*value == n;
#endif
}

/* The hash of the key at `arg`: a string's bytes, an integer's value. */
static inline uint64_t check_key(lua_State *L, int arg, bool md5)
{
	int type = lua_type(L, arg);
	int64_t value;
	if (type == LUA_TSTRING) {
		size_t len;
		const char *data = lua_tolstring(L, arg, &len);
		return hash_of(data, len, md5);
	}
	if (type != LUA_TNUMBER) {
		lua_pushfstring(L, "a key is a string or an integer, not a %s", luaL_typename(L, arg));
		rl_lua_misuse(L, rl_lua_of(L), lua_tostring(L, -1));
	}
	if (!is_whole(L, arg, &value))
		rl_lua_misuse(L, rl_lua_of(L), "a key is a string or an integer, not a fraction");
	if (!md5)
		return rl_hash_int(value, 0);
	uint64_t bytes = htole64((uint64_t)value);
	return hash_of(&bytes, sizeof bytes, true);
}

static uint32_t position_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

static uint32_t check_position(lua_State *L, int arg)
{
	lua_Number n = luaL_checknumber(L, arg);
	luaL_argcheck(L, n >= 0 && n <= UINT32_MAX, arg, "a position expected");
	return (uint32_t)n;
}

/* A hash of 64 bits for a position that is all there is. */
static uint64_t widen(uint32_t position)
{
	return (uint64_t)position << 32 | (position * 0x9e3779b1u);
}

static inline uint32_t find(const struct lrouter *r, uint64_t hash)
{
	switch (r->kind) {
	case KIND_MOD:
		return position_of(hash) % r->nodes;
	case KIND_JUMP:
		return rl_jump_find(hash, r->nodes);
	case KIND_RING:
		return rl_hashring_find(r->ring, position_of(hash));
	case KIND_BOUNDED:
		return rl_bounded_find(r->bounded, position_of(hash));
	case KIND_MAGLEV:
		return rl_maglev_find(r->maglev, hash);
	case KIND_RENDEZVOUS:
		return rl_rendezvous_find(r->rendezvous, hash);
	default:
		return 0;
	}
}

/* What a finder is. Its upvalues are the shard, a complete router, and for finders of names these;
 * the result comes from C, so that a wrapper ends in the call. */

static int find_index(lua_State *L, bool md5)
{
	const struct lrouter *r = lua_touserdata(L, lua_upvalueindex(2));
	lua_pushinteger(L, (lua_Integer)find(r, check_key(L, 1, md5)) + 1);
	return 1;
}

static int find_name(lua_State *L, bool md5)
{
	const struct lrouter *r = lua_touserdata(L, lua_upvalueindex(2));
	lua_rawgeti(L, lua_upvalueindex(3), (int)find(r, check_key(L, 1, md5)) + 1);
	return 1;
}

static int lrouter_index_xxh64(lua_State *L)
{
	return find_index(L, false);
}

static int lrouter_index_md5(lua_State *L)
{
	return find_index(L, true);
}

static int lrouter_name_xxh64(lua_State *L)
{
	return find_name(L, false);
}

static int lrouter_name_md5(lua_State *L)
{
	return find_name(L, true);
}

/* finder(router, md5, names | nil) -> function(key) -> index, or name */
static int lrouter_finder(lua_State *L)
{
	check_router(L, 1);
	bool md5 = lua_toboolean(L, 2);
	bool named = lua_istable(L, 3);
	lua_settop(L, 3);
	lua_pushlightuserdata(L, rl_lua_of(L));
	lua_pushvalue(L, 1);
	if (!named) {
		lua_pushcclosure(L, md5 ? lrouter_index_md5 : lrouter_index_xxh64, 2);
		return 1;
	}
	lua_pushvalue(L, 3);
	lua_pushcclosure(L, md5 ? lrouter_name_md5 : lrouter_name_xxh64, 3);
	return 1;
}

/* find(router, position) -> index */
static int lrouter_find(lua_State *L)
{
	const struct lrouter *r = check_router(L, 1);
	lua_pushinteger(L, (lua_Integer)find(r, widen(check_position(L, 2))) + 1);
	return 1;
}

/* hash(key, md5) -> position */
static int lrouter_hash(lua_State *L)
{
	lua_pushinteger(L, position_of(check_key(L, 1, lua_toboolean(L, 2))));
	return 1;
}

/* Making routers. Arrays come as Lua lists; what is made of them in passing is a userdata, so that
 * no error leaks it. */

static struct lrouter *new_router(lua_State *L, uint32_t nodes)
{
	struct lrouter *r = rl_lua_new(L, sizeof *r, ROUTER);
	r->nodes = nodes;
	return r;
}

static int complete(lua_State *L, struct lrouter *r, enum kind kind, bool ok)
{
	if (!ok)
		return luaL_error(L, "not enough memory");
	r->kind = kind;
	return 1;
}

/* The ids of the labels in the list at 1, which stay on the stack. */
static uint64_t *push_ids(lua_State *L, uint32_t *nodes)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	size_t n = rl_rawlen(L, 1);
	luaL_argcheck(L, n > 0 && n <= RL_HASHRING_POINTS_MAX, 1, "labels expected");
	uint64_t *ids = lua_newuserdata(L, n * sizeof *ids);
	for (size_t i = 0; i < n; i++) {
		size_t len;
		lua_rawgeti(L, 1, (int)i + 1);
		const char *label = luaL_checklstring(L, -1, &len);
		ids[i] = rl_hash_bytes(label, len, 0);
		lua_pop(L, 1);
	}
	*nodes = (uint32_t)n;
	return ids;
}

static int new_count(lua_State *L, enum kind kind)
{
	lua_Number n = luaL_checknumber(L, 1);
	luaL_argcheck(L, n >= 1 && n <= RL_JUMP_MAX, 1, "a count expected");
	return complete(L, new_router(L, (uint32_t)n), kind, true);
}

/* mod(n) -> router */
static int lrouter_mod(lua_State *L)
{
	return new_count(L, KIND_MOD);
}

/* jump(n) -> router */
static int lrouter_jump(lua_State *L)
{
	return new_count(L, KIND_JUMP);
}

/* The list at 2 is {position, index, position, index, ...}. */
static struct rl_hashring_point *push_points(lua_State *L, uint32_t nodes, uint32_t *points)
{
	luaL_checktype(L, 2, LUA_TTABLE);
	size_t n = rl_rawlen(L, 2) / 2;
	luaL_argcheck(L, n > 0 && n <= RL_HASHRING_POINTS_MAX, 2, "points expected");
	struct rl_hashring_point *list = lua_newuserdata(L, n * sizeof *list);
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, 2, (int)(2 * i) + 1);
		lua_rawgeti(L, 2, (int)(2 * i) + 2);
		lua_Number node = luaL_checknumber(L, -1);
		luaL_argcheck(L, node >= 1 && node <= nodes, 2, "a point of no node");
		list[i] = (struct rl_hashring_point){ check_position(L, -2), (uint32_t)node - 1 };
		lua_pop(L, 2);
	}
	*points = (uint32_t)n;
	return list;
}

/* ring(labels, points, epsilon in millionths | nil) -> router; with an epsilon a bounded one */
static int lrouter_ring(lua_State *L)
{
	uint32_t nodes, len;
	lua_Number epsilon = luaL_optnumber(L, 3, 0);
	luaL_argcheck(L, epsilon >= 0 && epsilon <= RL_BOUNDED_EPSILON_MAX, 3, "an epsilon expected");
	const uint64_t *ids = push_ids(L, &nodes);
	const struct rl_hashring_point *points = push_points(L, nodes, &len);
	struct lrouter *r = new_router(L, nodes);
	r->ring = rl_hashring_new(ids, nodes, points, len);
	if (epsilon < 1)
		return complete(L, r, KIND_RING, r->ring);
	if (r->ring)
		r->bounded = rl_bounded_new(r->ring, (uint32_t)epsilon);
	return complete(L, r, KIND_BOUNDED, r->bounded);
}

/* maglev(labels, size) -> router, or nil if that is no size */
static int lrouter_maglev(lua_State *L)
{
	uint32_t nodes;
	lua_Number size = luaL_checknumber(L, 2);
	const uint64_t *ids = push_ids(L, &nodes);
	bool fits = size >= 2 && size <= RL_MAGLEV_SIZE_MAX && nodes <= RL_MAGLEV_NODES_MAX;
	if (!fits || !rl_maglev_is_size((uint32_t)size, nodes))
		return lua_pushnil(L), 1;
	struct lrouter *r = new_router(L, nodes);
	r->maglev = rl_maglev_new(ids, nodes, (uint32_t)size);
	return complete(L, r, KIND_MAGLEV, r->maglev);
}

/* rendezvous(labels, list of weights) -> router */
static int lrouter_rendezvous(lua_State *L)
{
	uint32_t nodes;
	luaL_checktype(L, 2, LUA_TTABLE);
	const uint64_t *ids = push_ids(L, &nodes);
	double *weights = lua_newuserdata(L, nodes * sizeof *weights);
	for (uint32_t i = 0; i < nodes; i++) {
		lua_rawgeti(L, 2, (int)i + 1);
		weights[i] = luaL_checknumber(L, -1);
		luaL_argcheck(L, weights[i] > 0, 2, "weights above 0 expected");
		lua_pop(L, 1);
	}
	struct lrouter *r = new_router(L, nodes);
	r->rendezvous = rl_rendezvous_new(ids, weights, nodes);
	return complete(L, r, KIND_RENDEZVOUS, r->rendezvous);
}

static struct lrouter *check_kind(lua_State *L, int arg, enum kind kind)
{
	struct lrouter *r = check_router(L, arg);
	luaL_argcheck(L, r->kind == kind, arg, "a router of another kind");
	return r;
}

static uint32_t check_node(lua_State *L, int arg, const struct lrouter *r)
{
	lua_Number n = luaL_checknumber(L, arg);
	luaL_argcheck(L, n >= 1 && n <= r->nodes, arg, "no such node");
	return (uint32_t)n - 1;
}

/* diff(from, to) -> {first, last, index in from, index in to, first, ...} */
static int lrouter_diff(lua_State *L)
{
	const struct rl_hashring *from = check_kind(L, 1, KIND_RING)->ring;
	const struct rl_hashring *to = check_kind(L, 2, KIND_RING)->ring;
	size_t max = (size_t)rl_hashring_len(from) + rl_hashring_len(to) + 1;
	struct rl_hashring_move *moves = lua_newuserdata(L, max * sizeof *moves);
	uint32_t n = rl_hashring_diff(from, to, moves);
	lua_createtable(L, (int)n * 4, 0);
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t values[] = {
			moves[i].first, moves[i].last, moves[i].from + 1, moves[i].to + 1,
		};
		for (int k = 0; k < 4; k++) {
			lua_pushinteger(L, values[k]);
			lua_rawseti(L, -2, (int)(i * 4) + k + 1);
		}
	}
	return 1;
}

/* acquire(router, position) -> index, or nil at the largest load */
static int lrouter_acquire(lua_State *L)
{
	struct lrouter *r = check_kind(L, 1, KIND_BOUNDED);
	uint32_t node;
	if (rl_bounded_acquire(r->bounded, check_position(L, 2), &node) < 0)
		return lua_pushnil(L), 1;
	lua_pushinteger(L, (lua_Integer)node + 1);
	return 1;
}

/* release(router, index) -> had it load? */
static int lrouter_release(lua_State *L)
{
	struct lrouter *r = check_kind(L, 1, KIND_BOUNDED);
	lua_pushboolean(L, rl_bounded_release(r->bounded, check_node(L, 2, r)) == 0);
	return 1;
}

/* load(router, index) -> units */
static int lrouter_load(lua_State *L)
{
	struct lrouter *r = check_kind(L, 1, KIND_BOUNDED);
	lua_pushinteger(L, rl_bounded_load(r->bounded, check_node(L, 2, r)));
	return 1;
}

/* carry(to, index, from, index): what the node of one holds, the node of the other holds too */
static int lrouter_carry(lua_State *L)
{
	struct lrouter *to = check_kind(L, 1, KIND_BOUNDED), *from = check_kind(L, 3, KIND_BOUNDED);
	uint32_t load = rl_bounded_load(from->bounded, check_node(L, 4, from));
	rl_bounded_add(to->bounded, check_node(L, 2, to), load);
	return 0;
}

static int lrouter_gc(lua_State *L)
{
	struct lrouter *r = luaL_checkudata(L, 1, ROUTER);
	rl_bounded_free(r->bounded);
	rl_hashring_free(r->ring);
	rl_maglev_free(r->maglev);
	rl_rendezvous_free(r->rendezvous);
	memset(r, 0, sizeof *r);
	return 0;
}

static const luaL_Reg metamethods[] = {
	{"__gc", lrouter_gc},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"router_hash", lrouter_hash},
	{"router_mod", lrouter_mod},
	{"router_jump", lrouter_jump},
	{"router_ring", lrouter_ring},
	{"router_maglev", lrouter_maglev},
	{"router_rendezvous", lrouter_rendezvous},
	{"router_finder", lrouter_finder},
	{"router_find", lrouter_find},
	{"router_diff", lrouter_diff},
	{"router_acquire", lrouter_acquire},
	{"router_release", lrouter_release},
	{"router_load", lrouter_load},
	{"router_carry", lrouter_carry},
	{NULL, NULL},
};

void rl_lua_open_router(lua_State *L, struct rl_lua *h)
{
	rl_lua_class(L, h, ROUTER, metamethods);
	lua_pop(L, 1);
	rl_lua_register(L, h, functions);
}
