/* SPDX-License-Identifier: MIT */
/*
 * lspread: servers on several shards: the object their shards share, inlets, and the handing over
 * of connections. Shards count from 1 here.
 */
#include "lua/lnet.h"

#include "base/err.h"
#include "lua/lcodec.h"
#include "rt/spread.h"

static struct rl_listener *to_listener(lua_State *L, int arg)
{
	return *rl_lnet_handle(L, rl_lnet_of(L)->listener_class, arg, "listener");
}

static struct rl_spread *check_spread(lua_State *L, int arg)
{
	struct rl_shared *o = rl_lua_to_shared(L, arg);
	if (!o || o->class != &rl_spread_class)
		luaL_argerror(L, arg, "spread expected");
	return (struct rl_spread *)o;
}

static struct rl_spread_seat *check_seat(lua_State *L, struct rl_spread *sp, int arg)
{
	lua_Integer shard = luaL_checkinteger(L, arg);
	if (shard < 1 || (size_t)shard > sp->size)
		luaL_argerror(L, arg, "no such shard");
	return &sp->seats[shard - 1];
}

/* The seat of this shard; NULL when the run is over. */
static struct rl_spread_seat *own_seat(lua_State *L, struct rl_spread *sp)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	return s->fleet && s->index < sp->size ? &sp->seats[s->index] : NULL;
}

/* spread(limit, fewest) -> spread: connections a shard may have; to the shard with the fewest, or
 * in turn */
static int lspread_new(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_lua_check_run(L, h);
	struct rl_spread *sp = rl_spread_new(h->shard.fleet->size, (unsigned)luaL_checkinteger(L, 1),
		lua_toboolean(L, 2));
	if (!sp)
		return luaL_error(L, "not enough memory");
	rl_lua_push_shared(L, h, &sp->shared);
	rl_shared_put(&sp->shared);
	return 1;
}

/* spread_open(spread, shard, boolean): may that shard be given connections? */
static int lspread_open(lua_State *L)
{
	struct rl_spread *sp = check_spread(L, 1);
	check_seat(L, sp, 2)->open = lua_toboolean(L, 3);
	return 0;
}

/* spread_inlet(spread, listener|nil): where this shard's connections arrive */
static int lspread_inlet(lua_State *L)
{
	struct rl_spread_seat *seat = own_seat(L, check_spread(L, 1));
	if (seat)
		seat->inlet = lua_isnoneornil(L, 2) ? NULL : to_listener(L, 2);
	return 0;
}

/* spread_note(spread, listener, live, errors, refused, evicted, late): this shard's counters */
static int lspread_note(lua_State *L)
{
	struct rl_spread_seat *seat = own_seat(L, check_spread(L, 1));
	struct rl_listener *l = to_listener(L, 2);
	struct rl_spread_counts counts = {
		.live = (unsigned)lua_tointeger(L, 3), .errors = (uint64_t)lua_tonumber(L, 4),
		.refused = (uint64_t)lua_tonumber(L, 5), .evicted = (uint64_t)lua_tonumber(L, 6),
		.late = (uint64_t)lua_tonumber(L, 7),
	};
	if (seat && l)
		rl_spread_note(seat, l, &counts);
	return 0;
}

/* spread_ended(spread) -> true when who accepts waits for room: a connection has ended here */
static int lspread_ended(lua_State *L)
{
	struct rl_spread *sp = check_spread(L, 1);
	struct rl_spread_seat *seat = own_seat(L, sp);
	lua_pushboolean(L, seat && rl_spread_ended(sp, (unsigned)(seat - sp->seats)));
	return 1;
}

static void push_count(lua_State *L, const _Atomic uint64_t *n)
{
	lua_pushinteger(L, (lua_Integer)atomic_load_explicit(n, memory_order_relaxed));
}

/* spread_counts(spread, shard) -> accepted, live, waiting, errors, shortages, refused, evicted,
 * late */
static int lspread_counts(lua_State *L)
{
	const struct rl_spread_seat *seat = check_seat(L, check_spread(L, 1), 2);
	push_count(L, &seat->accepted);
	lua_pushinteger(L, atomic_load_explicit(&seat->live, memory_order_relaxed));
	lua_pushinteger(L, atomic_load_explicit(&seat->waiting, memory_order_relaxed));
	push_count(L, &seat->errors);
	push_count(L, &seat->shortages);
	push_count(L, &seat->refused);
	push_count(L, &seat->evicted);
	push_count(L, &seat->late);
	return 8;
}

/* net_inlet() -> listener without a socket | nil, code */
static int lspread_net_inlet(lua_State *L)
{
	struct rl_net *net = rl_lnet_net(L, rl_lnet_of(L));
	struct rl_listener **handle = lua_newuserdata(L, sizeof *handle);
	*handle = NULL;
	luaL_getmetatable(L, "ringlet.listener");
	lua_setmetatable(L, -2);
	int err = rl_listener_open_inlet(net, handle);
	return err < 0 ? rl_lua_fail(L, err) : 1;
}

/* listener, leave: accept what is queued in the kernel, and no more; or leave that to others */
static int lspread_finish(lua_State *L)
{
	struct rl_listener *l = to_listener(L, 1);
	if (l && lua_toboolean(L, 2))
		rl_listener_leave(l);
	else if (l)
		rl_listener_finish(l);
	return 0;
}

/* net_hand(listener, spread) -> 1: a connection was handed over | true after a wait | false: every
 * shard is full | nil, code */
static int lspread_hand(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_listener *l = to_listener(L, 1);
	struct rl_spread *sp = check_spread(L, 2);
	if (!l)
		return rl_lua_fail(L, -RL_ECLOSED);
	if (rl_lua_is_cancelled(h))
		return rl_lua_cancelled(L, h);
	int to = rl_spread_pick(sp, &h->shard);
	if (to < 0) {
		lua_pushboolean(L, 0);
		return 1;
	}
	int fd = rl_listener_accept(l);
	if (fd == -EAGAIN)
		return rl_lua_park(L, h, &l->acceptors, RL_REASON_ACCEPT, -1);
	int err = fd < 0 ? fd : rl_spread_give(sp, &h->shard, (unsigned)to, fd);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushinteger(L, 1);
	return 1;
}

/* net_is_alone() -> does this shard have a network of its own? (sim) */
static int lspread_is_alone(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_lua_check_run(L, h);
	lua_pushboolean(L, h->shard.os->closed_world);
	return 1;
}

static const luaL_Reg functions[] = {
	{"spread", lspread_new},
	{"spread_open", lspread_open},
	{"spread_inlet", lspread_inlet},
	{"spread_note", lspread_note},
	{"spread_ended", lspread_ended},
	{"spread_counts", lspread_counts},
	{"net_inlet", lspread_net_inlet},
	{"net_finish", lspread_finish},
	{"net_hand", lspread_hand},
	{"net_is_alone", lspread_is_alone},
	{NULL, NULL},
};

void rl_lnet_open_spread(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	rl_lua_shared_class(L, n->shard, &rl_spread_class, NULL);
	lua_pop(L, 1);
}
