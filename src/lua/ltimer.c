/* SPDX-License-Identifier: MIT */
/*
 * ltimer: deadlines that are not a task's, seen from Lua: timers, tickers, limits of scopes. A
 * timer is a record here and whatever Lua has put for it into the table of timers: a function,
 * which is called in the run loop and must not park, or a table
 * {slot | false, fired | false, queue | nil}, which is told when it fired and whose queue is woken.
 * So a timer costs Lua one small table.
 *
 * Timers fire in batches, because with many of them each table is a cache miss: those of a batch
 * are fetched together. What one of them sets off may stop another of the batch: so a table is only
 * told, and a function only acts, if it still has the slot it is called for.
 *
 * Invariants: a record is live from timer_set until it fired or was stopped; as long, its entry in
 * the table holds what it is for; a slot is reused afterwards. Set while no run is active, it waits
 * on `early` and begins to count when the run does.
 */
#include "lua/lrun.h"

#include "base/slab.h"
#include "lua/lwait.h"

#include <math.h>

#define TIMERS_PER_CHUNK 256
#define TIMERS_MAX (1u << 24)

struct ltimer {
	struct rl_alarm alarm; /* on `early` while no run is active: its deadline is the delay then */
	struct rl_lua *shard;
	uint32_t slot;
	bool live;
};

enum { SLOT = 1, FIRED = 2, QUEUE = 3 };

static void timer_free(struct ltimer *m)
{
	m->live = false;
	rl_slab_put(m->shard->timers, m, m->slot);
}

/* Tell the timer's table, and who waits for it, unless it was stopped a moment ago. */
static void tell_table(struct rl_lua *h, int table, lua_Integer slot)
{
	lua_State *L = h->main;
	lua_Number now = (lua_Number)h->shard.now_ns / 1e9;
	lua_rawgeti(L, table, SLOT);
	bool is_set = lua_tointeger(L, -1) == slot;
	lua_pop(L, 1);
	if (!is_set)
		return;
	lua_pushboolean(L, 0);
	lua_rawseti(L, table, SLOT);
	lua_pushnumber(L, now);
	lua_rawseti(L, table, FIRED);
	lua_rawgeti(L, table, QUEUE);
	if (lua_isuserdata(L, -1)) {
		int queue = lua_gettop(L);
		lua_pushnumber(L, now);
		rl_lwait_wake_all(L, h, queue);
		lua_settop(L, queue);
	}
	lua_pop(L, 1);
}

static void call_function(lua_State *L, int fn, lua_Integer slot)
{
	lua_pushvalue(L, fn);
	lua_pushinteger(L, slot);
	if (lua_pcall(L, 1, 0, 0) != 0)
		lua_pop(L, 1);
}

/* Take the entries of a batch out of the table of timers, onto the stack. */
static void fetch_batch(struct rl_lua *h)
{
	lua_State *L = h->main;
	for (unsigned i = 0; i < h->fired_len; i++) {
		int slot = (int)h->fired[i] + 1;
		lua_rawgeti(L, RL_LUA_TIMERS, slot);
		const char *p = lua_topointer(L, -1);
		__builtin_prefetch(p, 1);
		__builtin_prefetch(p + 64, 1);
		lua_pushboolean(L, 0);
		lua_rawseti(L, RL_LUA_TIMERS, slot);
	}
}

static void fire_batch(struct rl_lua *h)
{
	lua_State *L = h->main;
	int base = lua_gettop(L);
	fetch_batch(h);
	for (unsigned i = 0; i < h->fired_len; i++) {
		int at = base + 1 + (int)i;
		if (lua_istable(L, at))
			tell_table(h, at, (lua_Integer)h->fired[i] + 1);
		else if (lua_isfunction(L, at))
			call_function(L, at, (lua_Integer)h->fired[i] + 1);
	}
	lua_settop(L, base);
	for (unsigned i = 0; i < h->fired_len; i++)
		rl_slab_put(h->timers, rl_slab_at(h->timers, h->fired[i]), h->fired[i]);
	h->fired_len = 0;
}

void rl_lua_timers_fired(struct rl_lua *h)
{
	if (h->fired_len > 0)
		fire_batch(h);
}

static void timer_fire(struct rl_alarm *a)
{
	struct ltimer *m = rl_container(a, struct ltimer, alarm);
	struct rl_lua *h = m->shard;
	m->live = false;
	h->fired[h->fired_len++] = m->slot;
	if (h->fired_len == RL_FIRED_MAX)
		fire_batch(h);
}

static int64_t delay_ns(double seconds)
{
	double ns = ceil(seconds * 1e9);
	return ns > 4e18 ? (int64_t)4e18 : ns > 0 ? (int64_t)ns : 0;
}

static void timer_arm(struct ltimer *m, int64_t delay)
{
	struct rl_lua *h = m->shard;
	struct rl_shard *s = &h->shard;
	if (s->os) {
		rl_alarm_set(s, &m->alarm, rl_shard_now(s) + delay);
	} else {
		m->alarm.timer.deadline_ns = delay;
		rl_list_push(&h->early, &m->alarm.timer.link);
	}
}

/* timer_set(seconds) -> slot, boolean: fires once, that long from now; whether a run is active */
static int ltimer_set(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	uint32_t slot;
	struct ltimer *m = rl_slab_get(h->timers, &slot);
	if (!m)
		rl_lua_misuse(L, h, "too many timers");
	rl_alarm_init(&m->alarm, timer_fire);
	m->shard = h;
	m->slot = slot;
	m->live = true;
	timer_arm(m, delay_ns(lua_tonumber(L, 1)));
	lua_pushinteger(L, (lua_Integer)slot + 1);
	lua_pushboolean(L, h->shard.os != NULL);
	return 2;
}

/* timer_stop(slot): the caller holds the slot of a live timer, and clears its entry */
static int ltimer_stop(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct ltimer *m = rl_slab_at(h->timers, (uint32_t)(lua_tointeger(L, 1) - 1));
	if (!m || !m->live)
		return 0;
	rl_alarm_stop(&h->shard, &m->alarm);
	timer_free(m);
	return 0;
}

void rl_lua_timers_open(struct rl_lua *h)
{
	struct rl_list early;
	rl_list_init(&early);
	rl_list_take(&early, &h->early);
	for (struct rl_list *l = rl_list_pop(&early); l; l = rl_list_pop(&early)) {
		struct ltimer *m = rl_container(l, struct ltimer, alarm.timer.link);
		timer_arm(m, m->alarm.timer.deadline_ns);
	}
}

void rl_lua_timers_close(lua_State *L, struct rl_lua *h)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->timers_ref);
	for (uint32_t i = 0; rl_slab_at(h->timers, i); i++) {
		struct ltimer *m = rl_slab_at(h->timers, i);
		if (!m->live)
			continue;
		rl_alarm_stop(&h->shard, &m->alarm);
		timer_free(m);
		lua_rawgeti(L, -1, (int)i + 1);
		if (lua_istable(L, -1)) {
			lua_pushboolean(L, 0);
			lua_rawseti(L, -2, SLOT);
		}
		lua_pop(L, 1);
		lua_pushboolean(L, 0);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_pop(L, 1);
}

/* timers() -> the table of what timers are for, by slot */
static int ltimer_table(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, rl_lua_of(L)->timers_ref);
	return 1;
}

static const luaL_Reg functions[] = {
	{"timers", ltimer_table},
	{"timer_set", ltimer_set},
	{"timer_stop", ltimer_stop},
	{NULL, NULL},
};

void rl_lua_open_timer(lua_State *L, struct rl_lua *h)
{
	rl_list_init(&h->early);
	h->timers = rl_slab_new(sizeof(struct ltimer), TIMERS_PER_CHUNK, TIMERS_MAX);
	if (!h->timers)
		luaL_error(L, "ringlet: not enough memory");
	lua_createtable(L, 0, 0);
	h->timers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	rl_lua_register(L, h, functions);
}

void rl_lua_timers_free(struct rl_lua *h)
{
	rl_slab_free(h->timers);
	h->timers = NULL;
}
