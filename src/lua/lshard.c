/* SPDX-License-Identifier: MIT */
/*
 * lshard: the shard of a Lua state: created when the module is loaded, opened and closed by run,
 * and what every binding file shares.
 *
 * Invariants: one `struct rl_lua` per Lua state, a full userdata anchored in the registry, whose
 * collection (the state is closing) gives up the ring. Memory the kernel can see is never in it.
 */
#include "lua/lshard.h"

#include "base/err.h"
#include "lua/lcodec.h"
#include "lua/lfleet.h"
#include "lua/lhealth.h"
#include "lua/lprofile.h"
#include "lua/lrun.h"
#include "rt/fleet.h"
#include "lua/lsobject.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char shard_key, core_key;

int64_t rl_lua_deadline(lua_State *L, struct rl_lua *h, int arg)
{
	if (lua_isnoneornil(L, arg))
		return -1;
	if (lua_type(L, arg) != LUA_TNUMBER)
		luaL_argerror(L, arg, "seconds (a number) or nil expected");
	double t = lua_tonumber(L, arg);
	if (t != t)
		luaL_argerror(L, arg, "the timeout is not a number");
	if (t <= 0)
		return 0;
	rl_lua_check_run(L, h);
	int64_t now = rl_shard_now(&h->shard);
	double ns = t * 1e9;
	return ns > 4e18 - (double)now ? -1 : now + (int64_t)ceil(ns);
}

bool rl_lua_is_ours(const struct rl_lua *h, const lua_Debug *ar)
{
	return h->library[0] && strncmp(ar->source, h->library, strlen(h->library)) == 0;
}

void rl_lua_misuse(lua_State *L, struct rl_lua *h, const char *message)
{
	lua_Debug ar;
	lua_pushstring(L, message);
	for (int level = 0; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.currentline > 0 && !rl_lua_is_ours(h, &ar)) {
			lua_pushfstring(L, "%s:%d: %s", ar.short_src, ar.currentline, message);
			break;
		}
	}
	lua_error(L);
	abort(); /* not reached, as neither LuaJIT's nor Lua's header says */
}

void rl_lua_check_run(lua_State *L, struct rl_lua *h)
{
	if (!h->shard.os)
		rl_lua_misuse(L, h, "not inside a task: this needs a running rl.run");
}

struct rl_task *rl_lua_check_park(lua_State *L, struct rl_lua *h)
{
	struct rl_task *t = h->shard.current;
	if (!t || t->state != RL_TASK_RUNNING)
		rl_lua_misuse(L, h, "not inside a task");
	if (!rl_shard_is_home(&h->shard))
		rl_lua_misuse(L, h, "this process is a fork of the one that called run: it cannot use its "
			"tasks");
	if (h->pins > 0 || !lua_isyieldable(L))
		rl_lua_misuse(L, h, "cannot park here: the call is inside a C function that cannot be "
			"yielded across (table.sort, string.gsub, require, a metamethod called from C)");
	if (L != h->running)
		rl_lua_misuse(L, h, "cannot park here: this coroutine was resumed by a coroutine.resume "
			"taken before run began");
	return t;
}

bool rl_lua_is_cancelled(struct rl_lua *h)
{
	return h->shard.current && (h->shard.current->flags & RL_TASK_CANCEL);
}

int rl_lua_fail(lua_State *L, int code)
{
	lua_pushnil(L);
	lua_pushinteger(L, code);
	return 2;
}

int rl_lua_cancelled(lua_State *L, struct rl_lua *h)
{
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->raises == 0) {
		t->raises = 1;
		return rl_lua_fail(L, -RL_ECANCEL);
	}
	if (t->raises >= RL_CANCELS_MAX) {
		t->flags |= RL_TASK_DROPPED;
		t->state = RL_TASK_PARKED;
		return lua_yield(L, 0);
	}
	t->result = -RL_ECANCEL;
	t->results = 0;
	t->fired = 0;
	t->reason = RL_REASON_YIELD;
	rl_ready_last(&h->shard, t);
	return lua_yield(L, lua_gettop(L));
}

int rl_lua_park(lua_State *L, struct rl_lua *h, struct rl_waitq *q, unsigned reason,
	int64_t deadline_ns)
{
	return rl_lua_park_offer(L, h, q, reason, deadline_ns, 0);
}

int rl_lua_park_offer(lua_State *L, struct rl_lua *h, struct rl_waitq *q, unsigned reason,
	int64_t deadline_ns, unsigned offer)
{
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	if (deadline_ns == 0)
		return rl_lua_fail(L, -ETIMEDOUT);
	rl_wait_add(t, q, 0, offer);
	rl_wait_park(&h->shard, t, reason, deadline_ns);
	return lua_yield(L, lua_gettop(L));
}

void rl_lua_register(lua_State *L, struct rl_lua *h, const luaL_Reg *regs)
{
	for (; regs->name; regs++) {
		lua_pushlightuserdata(L, h);
		lua_pushcclosure(L, regs->func, 1);
		lua_setfield(L, -2, regs->name);
	}
}

void *rl_lua_new(lua_State *L, size_t size, const char *name)
{
	void *p = lua_newuserdata(L, size);
	memset(p, 0, size);
	lua_getfield(L, LUA_REGISTRYINDEX, name);
	lua_setmetatable(L, -2);
	return p;
}

void rl_lua_class(lua_State *L, struct rl_lua *h, const char *name, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	if (methods)
		rl_lua_register(L, h, methods);
}

/* now() -> monotonic seconds: of the backend while run is active */
static int lshard_now(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct timespec ts;
	if (h->shard.os) {
		lua_pushnumber(L, (double)rl_shard_now(&h->shard) / 1e9);
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	lua_pushnumber(L, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
	return 1;
}

/* time() -> wall clock seconds since the epoch */
static int lshard_time(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct timespec ts;
	if (h->shard.os) {
		lua_pushnumber(L, (double)h->shard.os->ops->time(h->shard.os) / 1e9);
		return 1;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	lua_pushnumber(L, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
	return 1;
}

/* random() -> an integer in [0, 2^31), seeded on the sim backend */
static int lshard_random(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_lua_check_run(L, h);
	lua_pushinteger(L, (lua_Integer)(h->shard.os->ops->random(h->shard.os) >> 33));
	return 1;
}

static void set_count(lua_State *L, const char *name, double n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, name);
}

/* What it has done in the fleet it is in; zeros when it is in none. */
static void set_fleet_counts(lua_State *L, const struct rl_shard *s)
{
	static const struct rl_seat nothing;
	const struct rl_seat *seat = s->fleet ? rl_fleet_seat(s) : &nothing;
	set_count(L, "jobs", (double)atomic_load_explicit(&seat->started, memory_order_relaxed));
	set_count(L, "steals", (double)atomic_load_explicit(&seat->steals, memory_order_relaxed));
	set_count(L, "messages", (double)atomic_load_explicit(&seat->sent, memory_order_relaxed));
	set_count(L, "wakes", (double)atomic_load_explicit(&seat->rings, memory_order_relaxed));
}

/* stats() -> table of counters */
static int lshard_stats(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_shard *s = &h->shard;
	unsigned stalled;
	uint64_t stalls = rl_lua_fleet_stalls(h, &stalled);
	const struct rl_health *health = rl_lua_fleet_health(h);
	int64_t starved_ns = 0;
	uint64_t starvations = health ? rl_health_starvations(health, h->seat, &starved_ns) : 0;
	lua_createtable(L, 0, 20);
	set_count(L, "tasks", s->live);
	set_count(L, "daemons", s->daemons);
	set_count(L, "runnable", rl_shard_runnable(s));
	set_count(L, "created", (double)s->counts.created);
	set_count(L, "finished", (double)s->counts.finished);
	set_count(L, "parks", (double)s->counts.parks);
	set_count(L, "turns", (double)s->counts.turns);
	set_count(L, "polls", (double)s->counts.polls);
	set_count(L, "preemptions", (double)s->counts.preemptions);
	set_count(L, "overruns", (double)s->counts.overruns);
	set_count(L, "stalls", (double)stalls);
	set_count(L, "stalled", stalled);
	set_count(L, "starvations", (double)starvations);
	lua_pushnumber(L, (lua_Number)starved_ns / 1e9);
	lua_setfield(L, -2, "starved");
	set_count(L, "handles", h->handles);
	if (s->os)
		set_count(L, "timers", (double)(rl_wheel_len(s->deadlines) + rl_wheel_len(s->alarms)));
	else
		set_count(L, "timers", 0);
	set_count(L, "ops", s->os ? s->os->in_flight : 0);
	set_count(L, "works", s->os ? s->os->works : 0);
	set_count(L, "submitted", s->os ? (double)s->os->stats.submitted : 0);
	set_count(L, "completed", s->os ? (double)s->os->stats.completed : 0);
	set_count(L, "enters", s->os ? (double)s->os->stats.enters : 0);
	set_fleet_counts(L, s);
	return 1;
}

/* faults() -> {name = {asked, fired}} of the sim backend */
static int lshard_faults(lua_State *L)
{
	struct rl_fault_count counts[32];
	struct rl_lua *h = rl_lua_of(L);
	unsigned n = h->shard.os ? rl_os_fault_counts(h->shard.os, counts, 32) : 0;
	lua_createtable(L, 0, (int)n);
	for (unsigned i = 0; i < n; i++) {
		lua_createtable(L, 2, 0);
		lua_pushnumber(L, (double)counts[i].asked);
		lua_rawseti(L, -2, 1);
		lua_pushnumber(L, (double)counts[i].fired);
		lua_rawseti(L, -2, 2);
		lua_setfield(L, -2, counts[i].name);
	}
	return 1;
}

/* errmsg(code) -> "ENAME: text", "ENAME" */
static int lshard_errmsg(lua_State *L)
{
	int code = (int)luaL_checkinteger(L, 1);
	lua_pushfstring(L, "%s: %s", rl_err_name(code), rl_err_text(code));
	lua_pushstring(L, rl_err_name(code));
	return 2;
}

/* setmetatable(userdata, table): what Lua itself will not do */
static int lshard_setmetatable(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TUSERDATA);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

static int lshard_gc(lua_State *L)
{
	struct rl_lua *h = lua_touserdata(L, 1);
	rl_profile_gone(L, h);
	rl_lua_run_gone(h);
	rl_shard_term(&h->shard);
	rl_lua_timers_free(h);
	rl_lua_codec_gone(h);
	return 0;
}

/* clock() -> where the shard's time is, 0 outside of a run; rl_shard_now; the shard it takes */
static int lshard_clock(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	lua_pushlightuserdata(L, &s->now_ns);
	lua_pushlightuserdata(L, (void *)rl_shard_now);
	lua_pushlightuserdata(L, s);
	return 3;
}

/* hold(n): so many more things, or fewer, keep run alive */
static int lshard_hold(lua_State *L)
{
	rl_lua_of(L)->shard.holds += (unsigned)lua_tointeger(L, 1);
	return 0;
}

static const luaL_Reg functions[] = {
	{"now", lshard_now},
	{"clock", lshard_clock},
	{"hold", lshard_hold},
	{"time", lshard_time},
	{"random", lshard_random},
	{"stats", lshard_stats},
	{"faults", lshard_faults},
	{"errmsg", lshard_errmsg},
	{"setmetatable", lshard_setmetatable},
	{NULL, NULL},
};

struct rl_lua *rl_lua_of_state(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)&shard_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	struct rl_lua *h = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return h;
}

/* The shard of this state, made when first asked for: stays the same if the module is loaded
 * anew. */
static struct rl_lua *shard_of_state(lua_State *L)
{
	struct rl_lua *h = rl_lua_of_state(L);
	if (h)
		return h;
	h = lua_newuserdata(L, sizeof *h);
	memset(h, 0, sizeof *h);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, lshard_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_pushlightuserdata(L, (void *)&shard_key);
	lua_insert(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
	if (rl_lua_run_init(L, h) < 0)
		luaL_error(L, "ringlet: not enough memory");
	return h;
}

__attribute__((visibility("default"))) int luaopen_ringlet_core(lua_State *L);

int luaopen_ringlet_core(lua_State *L)
{
	struct rl_lua *h = shard_of_state(L);
	lua_pushlightuserdata(L, (void *)&core_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (lua_istable(L, -1))
		return 1;
	lua_createtable(L, 0, 64);
	lua_pushlightuserdata(L, (void *)&core_key);
	lua_pushvalue(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
	rl_lua_register(L, h, functions);
	rl_lua_open_run(L, h);
	rl_lua_open_hook(L, h);
	rl_lua_open_task(L, h);
	rl_lua_open_priority(L, h);
	rl_lua_open_dump(L, h);
	rl_lua_open_wait(L, h);
	rl_lua_open_timer(L, h);
	rl_lua_open_signal(L, h);
	rl_lua_open_terminal(L, h);
	rl_lua_open_probe(L, h);
	rl_lua_open_net(L, h);
	rl_lua_open_buffer(L, h);
	rl_lua_open_ticket(L, h);
	rl_lua_open_schan(L, h);
	rl_lua_open_fleet(L, h);
	rl_lua_open_post(L, h);
	rl_lua_open_health(L, h);
	rl_lua_open_job(L, h);
	rl_lua_open_measure(L, h);
	rl_lua_open_topology(L, h);
	rl_lua_open_sched(L, h);
	rl_lua_open_codec(L, h);
	rl_lua_open_router(L, h);
	rl_lua_open_sdict(L, h);
	rl_lua_open_satomic(L, h);
	rl_lua_open_sbuffer(L, h);
	rl_lua_open_ssync(L, h);
	rl_lua_open_offload(L, h);
	rl_lua_open_reach(L, h);
	rl_lua_open_profile(L, h);
	rl_lua_open_trace(L, h);
	return 1;
}
