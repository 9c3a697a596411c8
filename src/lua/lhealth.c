/* SPDX-License-Identifier: MIT */
/*
 * lhealth: see lhealth.h.
 *
 * The watchdog sees a stall begin; it marks it and wakes a shard that is not stalled, whose loop
 * tells. It sees the end, and wakes the shard itself, which alone knows where its task is. A stall
 * that ended before anybody could tell of its beginning is told of once. A shard that is starved is
 * told of in the same way.
 */
#include "lua/lhealth.h"

#include "lua/lfleet.h"
#include "lua/lrun.h"

#include <time.h>

static uint64_t bit(unsigned index)
{
	return (uint64_t)1 << index;
}

static int64_t clock_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void nudge(struct rl_shard *s)
{
	/* Pairs with the acquire in begin_turn() of shard.c. */
	atomic_store_explicit(&s->nudged, true, memory_order_release);
	s->os->ops->wake(s->os);
}

/* It has a shard, which others may look at. */
static bool is_taken(const struct rl_seat *seat)
{
	/* Pairs with the release in rl_fleet_join. */
	return atomic_load_explicit(&seat->state, memory_order_acquire) < RL_SEAT_EMPTY;
}

int64_t rl_health_since(const struct rl_health *g, unsigned index)
{
	struct rl_seat *seat = &g->fleet->seats[index];
	if (!is_taken(seat))
		return 0;
	return atomic_load_explicit(&seat->shard->stalled_ns, memory_order_relaxed);
}

uint64_t rl_health_count(const struct rl_health *g, unsigned index)
{
	return atomic_load_explicit(&g->stalls[index].count, memory_order_relaxed);
}

uint64_t rl_health_starvations(const struct rl_health *g, unsigned index, int64_t *total_ns)
{
	const struct rl_starvation *v = &g->starvations[index];
	int64_t since_ns = atomic_load_explicit(&v->since_ns, memory_order_relaxed);
	*total_ns = atomic_load_explicit(&v->total_ns, memory_order_relaxed);
	if (since_ns && is_taken(&g->fleet->seats[index]))
		*total_ns += clock_now() - since_ns;
	return atomic_load_explicit(&v->count, memory_order_relaxed);
}

/* Also for the jobs of the stalled shard: who wakes looks for jobs. */
static void nudge_another(struct rl_health *g, unsigned stalled)
{
	pthread_mutex_lock(g->lock);
	for (unsigned i = 0; i < g->fleet->size && !*g->abandoned; i++) {
		struct rl_seat *seat = &g->fleet->seats[i];
		if (i == stalled || !is_taken(seat) || rl_health_since(g, i) != 0)
			continue;
		nudge(seat->shard);
		break;
	}
	pthread_mutex_unlock(g->lock);
}

void rl_health_stalled(void *health, struct rl_shard *s, int64_t since_ns, int64_t waited_ns,
	bool over)
{
	struct rl_health *g = health;
	struct rl_stall *stall = &g->stalls[s->index];
	atomic_store_explicit(&stall->waited_ns, waited_ns, memory_order_relaxed);
	if (over) {
		atomic_store_explicit(&stall->over_ns, clock_now(), memory_order_relaxed);
		atomic_fetch_or_explicit(&g->over, bit(s->index), memory_order_release);
		nudge(s);
		return;
	}
	uint64_t task = atomic_load_explicit(&s->running_id, memory_order_relaxed);
	atomic_store_explicit(&stall->task, task, memory_order_relaxed);
	atomic_store_explicit(&stall->hungry, waited_ns > (clock_now() - since_ns) / 2,
		memory_order_relaxed);
	atomic_store_explicit(&stall->since_ns, since_ns, memory_order_relaxed);
	atomic_fetch_add_explicit(&stall->count, 1, memory_order_relaxed);
	atomic_fetch_or_explicit(&g->begun, bit(s->index), memory_order_release);
	nudge_another(g, s->index);
}

void rl_health_starved(void *health, struct rl_shard *s, int64_t ns, bool over)
{
	struct rl_health *g = health;
	struct rl_starvation *v = &g->starvations[s->index];
	bool is_new = atomic_load_explicit(&v->since_ns, memory_order_relaxed) == 0;
	if (is_new)
		atomic_fetch_add_explicit(&v->count, 1, memory_order_relaxed);
	if (!over) {
		atomic_store_explicit(&v->since_ns, clock_now() - ns, memory_order_relaxed);
		atomic_fetch_or_explicit(&g->starves, bit(s->index), memory_order_release);
		nudge_another(g, s->index);
		return;
	}
	atomic_store_explicit(&v->last_ns, ns, memory_order_relaxed);
	atomic_fetch_add_explicit(&v->total_ns, ns, memory_order_relaxed);
	atomic_store_explicit(&v->since_ns, 0, memory_order_relaxed);
	atomic_fetch_or_explicit(&g->starved, bit(s->index), memory_order_release);
	nudge(s);
}

/* fn(shard, seconds, over) */
static void tell_starved(struct rl_lua *h, struct rl_health *g, unsigned index, bool over)
{
	lua_State *L = h->main;
	struct rl_starvation *v = &g->starvations[index];
	int64_t since_ns = atomic_load_explicit(&v->since_ns, memory_order_relaxed);
	int64_t ns = over ? atomic_load_explicit(&v->last_ns, memory_order_relaxed)
		: clock_now() - since_ns;
	if (!over && since_ns == 0)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->starved_ref);
	lua_pushinteger(L, (lua_Integer)index + 1);
	lua_pushnumber(L, (lua_Number)ns / 1e9);
	lua_pushboolean(L, over);
	rl_lua_run_tell(h, 3);
}

/* fn(shard, seconds, over, task, waited) */
static void tell(struct rl_lua *h, struct rl_health *g, unsigned index, bool over)
{
	lua_State *L = h->main;
	struct rl_stall *stall = &g->stalls[index];
	int64_t since_ns = atomic_load_explicit(&stall->since_ns, memory_order_relaxed);
	int64_t until_ns = over ? atomic_load_explicit(&stall->over_ns, memory_order_relaxed)
		: clock_now();
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->stalled_ref);
	lua_pushinteger(L, (lua_Integer)index + 1);
	lua_pushnumber(L, (lua_Number)(until_ns - since_ns) / 1e9);
	lua_pushboolean(L, over);
	lua_pushinteger(L, (lua_Integer)atomic_load_explicit(&stall->task, memory_order_relaxed));
	int64_t waited_ns = atomic_load_explicit(&stall->waited_ns, memory_order_relaxed);
	lua_pushnumber(L, (lua_Number)(waited_ns < until_ns - since_ns ? waited_ns
		: until_ns - since_ns) / 1e9);
	rl_lua_run_tell(h, 5);
}

/* As below, of shards that are starved. This one runs: of itself it tells when it was. */
static void nudged_of_hunger(struct rl_lua *h, struct rl_health *g)
{
	unsigned own = h->shard.index;
	uint64_t over = atomic_fetch_and_explicit(&g->starved, ~bit(own), memory_order_acquire);
	uint64_t begun = atomic_exchange_explicit(&g->starves, 0, memory_order_acquire) & ~bit(own);
	for (; begun; begun &= begun - 1)
		tell_starved(h, g, (unsigned)__builtin_ctzll(begun), false);
	if (over & bit(own))
		tell_starved(h, g, own, true);
}

void rl_health_nudged(struct rl_lua *h, struct rl_health *g)
{
	unsigned own = h->shard.index;
	/* Pairs with the releases in rl_health_stalled: what is known of the stall is there. */
	uint64_t over = atomic_fetch_and_explicit(&g->over, ~bit(own), memory_order_acquire) & bit(own);
	if (over)
		atomic_fetch_and_explicit(&g->begun, ~bit(own), memory_order_relaxed);
	uint64_t begun = atomic_exchange_explicit(&g->begun, 0, memory_order_acquire);
	for (; begun; begun &= begun - 1)
		tell(h, g, (unsigned)__builtin_ctzll(begun), false);
	if (over)
		tell(h, g, own, true);
	nudged_of_hunger(h, g);
}

void rl_health_note(struct rl_lua *h, struct rl_task *t)
{
	lua_State *L = h->main;
	if (h->noted_ref == LUA_NOREF)
		return;
	luaL_checkstack(L, 4, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->noted_ref);
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	lua_rawgeti(L, RL_LUA_THREADS, (int)t->slot + 1);
	if (lua_pcall(L, 2, 0, 0) != 0)
		lua_pop(L, 1);
}

/* health(told, noted, starved): told(shard, seconds, over, task, waited) in the loop; noted(slot,
 * coroutine) when a run has ended that stalled this shard; starved(shard, seconds, over) in the
 * loop */
static int lhealth_hooks(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_settop(L, 3);
	luaL_unref(L, LUA_REGISTRYINDEX, h->starved_ref);
	h->starved_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	luaL_unref(L, LUA_REGISTRYINDEX, h->noted_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, h->stalled_ref);
	h->noted_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	h->stalled_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* starvations(shard) -> how often it was starved in this run, for how many seconds in all, and
 * whether it is now */
static int lhealth_starvations(lua_State *L)
{
	const struct rl_health *g = rl_lua_fleet_health(rl_lua_of(L));
	lua_Integer index = luaL_checkinteger(L, 1) - 1;
	int64_t total_ns = 0;
	uint64_t count = 0;
	bool is_now = false;
	if (g && index >= 0 && (size_t)index < g->fleet->size) {
		count = rl_health_starvations(g, (unsigned)index, &total_ns);
		is_now = atomic_load_explicit(&g->starvations[index].since_ns, memory_order_relaxed) != 0;
	}
	lua_pushinteger(L, (lua_Integer)count);
	lua_pushnumber(L, (lua_Number)total_ns / 1e9);
	lua_pushboolean(L, is_now);
	return 3;
}

/* stalled() -> list of {shard, seconds, task, hungry}: those that make no progress now; and whether
 * that was for want of a core when it was seen */
static int lhealth_stalled(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	const struct rl_health *g = rl_lua_fleet_health(h);
	int n = 0;
	lua_newtable(L);
	for (unsigned i = 0; g && i < g->fleet->size; i++) {
		int64_t since_ns = rl_health_since(g, i);
		if (since_ns == 0)
			continue;
		lua_createtable(L, 4, 0);
		lua_pushinteger(L, (lua_Integer)i + 1);
		lua_rawseti(L, -2, 1);
		lua_pushnumber(L, (lua_Number)(clock_now() - since_ns) / 1e9);
		lua_rawseti(L, -2, 2);
		lua_pushinteger(L, (lua_Integer)atomic_load_explicit(&g->stalls[i].task,
			memory_order_relaxed));
		lua_rawseti(L, -2, 3);
		lua_pushboolean(L, atomic_load_explicit(&g->stalls[i].hungry, memory_order_relaxed));
		lua_rawseti(L, -2, 4);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static const luaL_Reg functions[] = {
	{"health", lhealth_hooks},
	{"stalled", lhealth_stalled},
	{"starvations", lhealth_starvations},
	{NULL, NULL},
};

void rl_lua_open_health(lua_State *L, struct rl_lua *h)
{
	h->stalled_ref = h->noted_ref = h->starved_ref = LUA_NOREF;
	rl_lua_register(L, h, functions);
}
