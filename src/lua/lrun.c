/* SPDX-License-Identifier: MIT */
/*
 * lrun: the run loop: how a task record becomes a running coroutine, and what is done with its end.
 *
 * While it loops, the frame of lrun_loop holds the shard's tables at fixed stack positions. The
 * record of a task that ended well keeps its coroutine, in `threads` as before, for the next task,
 * whose function and arguments are then put on it at once. Without such a warm record a task that
 * has not run yet is a function (or a packed table of function and arguments) in `threads`, and
 * gets its coroutine when it is run first. A coroutine that failed is never reused.
 *
 * Our yields are known by the task's state: whoever parks or yields a task changes it before it
 * yields. A task that yields while its state still says "running" was preempted (flagged by the
 * hook), or yielded by user code to nobody, which is an error.
 */
#include "lua/lrun.h"

#include "base/err.h"
#include "lua/lfleet.h"
#include "lua/lhealth.h"
#include "lua/lprofile.h"
#include "lua/lticket.h"
#include "lua/lwait.h"
#include "rt/measure.h"
#include "rt/trace.h"
#include "rt/watch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WARM_MAX 4096       /* coroutines kept for the next tasks */
#define WARM_KEEP 1024      /* of them, for tasks yet to be spawned and not for those that wait */
#define CREDIT 10000        /* non-blocking operations between two looks at the clock */
#define IDLE_GC_KIB 8       /* one collector step in idle time */
#define IDLE_GC_GROWTH 1.25 /* a cycle is begun when the heap grew this much since the last */

/* credit[1]: how many operations the running task may do without asking; 0 is "ask now". */
static void credit_write(lua_State *L, struct rl_lua *h, int n)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->credit_ref);
	lua_pushinteger(L, n);
	lua_rawseti(L, -2, 1);
	lua_pop(L, 1);
	h->credit_on = n > 0;
}

/* A coroutine, which is left on top: that of a warm record, if there are many, or a new one. */
static lua_State *take_coroutine(struct rl_lua *h)
{
	lua_State *L = h->main;
	uint32_t slot;
	lua_State *co = NULL;
	if (h->shard.warm_len >= WARM_KEEP)
		co = rl_task_take_warm(&h->shard, &slot);
	if (!co)
		return lua_newthread(L);
	lua_rawgeti(L, RL_LUA_THREADS, (int)slot + 1);
	lua_pushboolean(L, 0);
	lua_rawseti(L, RL_LUA_THREADS, (int)slot + 1);
	return co;
}

/* The coroutine of a task that runs first: returns how many arguments follow the function on it. A
 * warm record brought one along, with the function on it already. */
static int task_start(struct rl_lua *h, struct rl_task *t)
{
	lua_State *L = h->main, *co = t->co;
	int slot = (int)t->slot + 1, n = 0;
	if (co)
		return lua_gettop(co) - 1;
	lua_rawgeti(L, RL_LUA_THREADS, slot);
	co = take_coroutine(h);
	lua_rawseti(L, RL_LUA_THREADS, slot);
	if (lua_istable(L, -1)) {
		lua_rawgeti(L, -1, 1);
		n = (int)lua_tointeger(L, -1);
		lua_pop(L, 1);
		luaL_checkstack(L, n + 2, "too many arguments");
		lua_checkstack(co, n + 2);
		for (int i = 0; i <= n; i++)
			lua_rawgeti(L, -1 - i, i + 2);
		lua_xmove(L, co, n + 1);
		lua_pop(L, 1);
	} else {
		lua_xmove(L, co, 1);
	}
	t->co = co;
	return n;
}

/* Put what ended the task's wait on its stack: returns how many values. */
static int task_results(struct rl_lua *h, struct rl_task *t)
{
	lua_State *co = t->co;
	if (t->flags & RL_TASK_PREEMPTED) {
		t->flags &= (uint8_t)~RL_TASK_PREEMPTED;
		return 0;
	}
	if (t->results > 0)
		return t->results;
	if (t->reason == RL_REASON_YIELD && t->result == 0)
		return 0;
	bool gives = t->reason & (RL_GIVES_STRING | RL_GIVES_SLICE);
	int n = gives && t->result == 0 && !(t->flags & RL_TASK_CANCEL) ? h->give(h, t) : 0;
	if (n > 0)
		return n;
	if (t->fired > 0) {
		lua_pushinteger(co, t->fired);
		n++;
	}
	if (t->result < 0) {
		lua_pushnil(co);
		lua_pushinteger(co, t->result);
		if (t->result == -RL_ECANCEL)
			t->raises++;
		return n + 2;
	}
	lua_pushboolean(co, 1);
	return n + 1;
}

/* Is the error on top the one that a stock interpreter raises at Ctrl-C? Any other is a bug of the
 * library, and told. */
static bool is_interrupt(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	if (text && strstr(text, "interrupted!"))
		return true;
	fprintf(stderr, "ringlet: internal error: %s\n", text ? text : "?");
	return false;
}

/* Ctrl-C's hook raises once, in whatever runs next; what that was is done again. */
void rl_lua_run_tell(struct rl_lua *h, int n)
{
	lua_State *L = h->main;
	int base = lua_gettop(L) - n - 1;
	luaL_checkstack(L, n + 2, NULL);
	for (int i = 1; i <= n + 1; i++)
		lua_pushvalue(L, base + i);
	if (lua_pcall(L, n, 0, 0) != 0 && is_interrupt(L)) {
		lua_pop(L, 1);
		h->interrupted = true;
		h->brk = 1;
		lua_pcall(L, n, 0, 0);
	}
	lua_settop(L, base);
}

/* Tell the policy floor that a task ended: the handle's owner, joiners, on_error. */
static void tell_ended(struct rl_lua *h, struct rl_task *t, bool ok)
{
	lua_State *L = h->main;
	luaL_checkstack(L, 8, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->ended_ref);
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	lua_pushnumber(L, (double)t->id);
	lua_pushboolean(L, ok);
	if (ok)
		lua_pushnil(L);
	else
		lua_xmove(t->co, L, 1);
	lua_rawgeti(L, RL_LUA_THREADS, (int)t->slot + 1);
	lua_pushboolean(L, (t->flags & RL_TASK_DROPPED) != 0);
	rl_lua_run_tell(h, 6);
}

/* The results, from the coroutine's stack into the handle, if somebody still has it. */
static void keep_results(struct rl_lua *h, struct rl_task *t, int n)
{
	lua_State *L = h->main, *co = t->co;
	if (!(t->flags & RL_TASK_HANDLED))
		return;
	lua_rawgeti(L, RL_LUA_HANDLES, (int)t->slot + 1);
	if (lua_istable(L, -1)) {
		lua_pushboolean(L, 0);
		lua_rawseti(L, -2, 1);
		if (n > 0) {
			lua_pushinteger(L, n);
			lua_rawseti(L, -2, 3);
			luaL_checkstack(L, n, "too many results");
			lua_xmove(co, L, n);
			for (int i = n; i > 0; i--)
				lua_rawseti(L, -1 - i, 3 + i);
		}
	}
	lua_pop(L, 1);
}

/* The task has ended well: its coroutine stays with the record for the next task, or goes. */
static enum rl_ran task_ended(struct rl_lua *h, struct rl_task *t, int n)
{
	keep_results(h, t, n);
	if (t->flags & RL_TASK_WATCHED)
		tell_ended(h, t, true);
	if (h->shard.warm_len < WARM_MAX) {
		if (n > 0)
			lua_settop((lua_State *)t->co, 0);
	} else {
		lua_pushboolean(h->main, 0);
		lua_rawseti(h->main, RL_LUA_THREADS, (int)t->slot + 1);
		t->co = NULL;
	}
	return RL_RAN_ENDED;
}

/* The error value is on top of the coroutine's stack, which is never reused. */
static enum rl_ran task_failed(struct rl_lua *h, struct rl_task *t)
{
	tell_ended(h, t, false);
	lua_pushboolean(h->main, 0);
	lua_rawseti(h->main, RL_LUA_THREADS, (int)t->slot + 1);
	t->co = NULL;
	return RL_RAN_ENDED;
}

/* The watchdog gave up on this run, or on one before, which it said too late: tell once a task. */
static void tell_overran(struct rl_lua *h, struct rl_task *t)
{
	lua_State *L = h->main;
	uint32_t run = atomic_load_explicit(&h->shard.run_seq, memory_order_relaxed) - 1;
	uint32_t overran = atomic_load_explicit(&h->shard.overran, memory_order_relaxed);
	atomic_store_explicit(&h->shard.overran, 0, memory_order_relaxed);
	if (overran != run)
		return;
	h->shard.counts.overruns++;
	if (t->flags & RL_TASK_OVERRAN)
		return;
	t->flags |= RL_TASK_OVERRAN;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->overran_ref);
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	lua_rawgeti(L, RL_LUA_THREADS, (int)t->slot + 1);
	if (lua_pcall(L, 2, 0, 0) != 0)
		lua_pop(L, 1);
}

/* A coroutine yielded: to us, by preemption, or by mistake. */
static enum rl_ran task_yielded(struct rl_lua *h, struct rl_task *t)
{
	if (t->flags & RL_TASK_DROPPED) {
		lua_pushliteral((lua_State *)t->co, "the task swallowed its cancellation too often");
		return task_failed(h, t);
	}
	if (t->state != RL_TASK_RUNNING)
		return RL_RAN_PARKED;
	if (t->flags & RL_TASK_PREEMPTED)
		return RL_RAN_YIELDED;
	lua_checkstack(t->co, 1);
	lua_pushliteral((lua_State *)t->co,
		"attempt to yield from outside a coroutine: a task gives up its turn with rl.yield()");
	return task_failed(h, t);
}

/* Tell the policy floor's hooks, outside of any task that could park. */
static void tell_event(struct rl_lua *h, enum rl_lua_event event, double id, const char *what)
{
	lua_State *L = h->main;
	luaL_checkstack(L, 8, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->event_ref);
	lua_pushinteger(L, event);
	lua_pushnumber(L, id);
	lua_pushstring(L, what);
	rl_lua_run_tell(h, 3);
}

static void tell_parked(struct rl_lua *h, const struct rl_task *t)
{
	if (rl_task_is_parked(t))
		tell_event(h, RL_LUA_PARK, (double)t->id, rl_reason_name(t->reason & RL_REASON_MASK));
}

static enum rl_ran vm_run(void *self, struct rl_task *t)
{
	struct rl_lua *h = self;
	int nres = 0;
	if (h->events & RL_LUA_UNPARK && t->state != RL_TASK_NEW)
		tell_event(h, RL_LUA_UNPARK, (double)t->id, NULL);
	int nargs = t->state == RL_TASK_NEW ? task_start(h, t) : task_results(h, t);
	bool credit = !(t->flags & RL_TASK_CANCEL);
	if (credit != h->credit_on)
		credit_write(h->main, h, credit ? CREDIT : 0);
	t->state = RL_TASK_RUNNING;
	h->running = t->co;
	h->pins = 0;
	atomic_store_explicit(&h->shard.running_id, t->id, memory_order_relaxed);
	rl_shard_running(&h->shard, true);
	if (atomic_load_explicit(&h->shard.unwatched, memory_order_relaxed) && h->watch)
		rl_watch_wake(h->watch);
	int status = rl_resume(t->co, h->main, nargs, &nres);
	rl_shard_running(&h->shard, false);
	h->running = NULL;
	if (h->preempting)
		rl_lua_run_disarm(h, t->co);
	if (h->sampled)
		rl_profile_ran(h, t);
	if (h->backup)
		rl_lwait_rouse_backup(h);
	if (atomic_load_explicit(&h->shard.overran, memory_order_relaxed))
		tell_overran(h, t);
	if (atomic_load_explicit(&h->shard.stalled_ns, memory_order_relaxed))
		rl_health_note(h, t);
	if (status == LUA_YIELD && h->events & RL_LUA_PARK)
		tell_parked(h, t);
	if (status == LUA_YIELD)
		return task_yielded(h, t);
	return status == LUA_OK ? task_ended(h, t, nres) : task_failed(h, t);
}

static void vm_fired(void *self)
{
	rl_lua_timers_fired(self);
}

static void vm_nudged(void *self)
{
	struct rl_lua *h = self;
	struct rl_health *g = rl_lua_fleet_health(h);
	if (g)
		rl_health_nudged(h, g);
}

static uint64_t vm_heap(void *self)
{
	struct rl_lua *h = self;
	if (!h->main)
		return 0;
	uint64_t kib = (uint64_t)lua_gc(h->main, LUA_GCCOUNT, 0);
	return kib * 1024 + (uint64_t)lua_gc(h->main, LUA_GCCOUNTB, 0);
}

/* One step of the collector; true when that ended a cycle. */
static bool gc_step(struct rl_lua *h)
{
	if (h->shard.trace)
		rl_traced_gc(&h->shard, (unsigned)lua_gc(h->main, LUA_GCCOUNT, 0));
	int64_t from_ns = rl_os_now(h->shard.os);
	h->collecting = true;
	bool ended = lua_gc(h->main, LUA_GCSTEP, IDLE_GC_KIB) != 0;
	h->collecting = false;
	int64_t took_ns = rl_os_now(h->shard.os) - from_ns;
	rl_histogram_record(&h->shard.measure->collections, (double)took_ns * 1e-9);
	return ended;
}

/* Idle time is the collector's, until it has seen everything once and nothing new came. */
static bool vm_idle(void *self)
{
	struct rl_lua *h = self;
	lua_Hook hook = lua_gethook(h->main);
	if (hook && !rl_lua_is_hook(hook)) {
		h->brk = 1;
		return true;
	}
	if (!h->gc_cycle) {
		double kib = lua_gc(h->main, LUA_GCCOUNT, 0);
		if (kib < h->gc_full * IDLE_GC_GROWTH + 256)
			return false;
		h->gc_cycle = true;
		h->gc_steps = 2 * (unsigned)(kib / IDLE_GC_KIB) + 16;
	}
	/* A generational collector never says that a cycle has ended: hence the bound. */
	if (!gc_step(h) && --h->gc_steps > 0)
		return true;
	h->gc_cycle = false;
	h->gc_full = lua_gc(h->main, LUA_GCCOUNT, 0);
	rl_traced_gc_end(&h->shard, (unsigned)h->gc_full);
	if (h->events & RL_LUA_GC)
		tell_event(h, RL_LUA_GC, h->gc_full, NULL);
	return false;
}

static int new_table_ref(lua_State *L, const char *mode)
{
	lua_createtable(L, 0, 0);
	if (mode) {
		lua_createtable(L, 0, 1);
		lua_pushstring(L, mode);
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
	}
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

int rl_lua_run_init(lua_State *L, struct rl_lua *h)
{
	struct rl_vm vm = {
		.run = vm_run, .idle = vm_idle, .preempt = rl_lua_preempt, .fired = vm_fired,
		.arrived = rl_lua_arrived, .job_begin = rl_lua_job_begin, .job_ended = rl_lua_job_ended,
		.nudged = vm_nudged, .heap = vm_heap, .self = h,
	};
	h->threads_ref = new_table_ref(L, NULL);
	h->handles_ref = new_table_ref(L, "v");
	h->credit_ref = new_table_ref(L, NULL);
	credit_write(L, h, 0);
	h->ended_ref = h->overran_ref = h->note_ref = h->note_failed_ref = h->event_ref
		= LUA_NOREF;
	rl_lua_hook_init(L, h);
	return rl_shard_init(&h->shard, &vm);
}

void rl_lua_run_gone(struct rl_lua *h)
{
	h->looping = false;
	rl_watch_leave(h->watch, &h->shard);
	h->watch = NULL;
	rl_lua_offload_close(h);
	rl_lua_fleet_leave(h, RL_FLEET_END_NS, NULL);
}

void rl_lua_push_threads(lua_State *L, struct rl_lua *h)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->threads_ref);
}

void rl_lua_push_handles(lua_State *L, struct rl_lua *h)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->handles_ref);
}

/* open(backend|nil, seed|nil, faults|nil) -> true | nil, code, why */
static int lrun_open(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	const char *why = NULL;
	struct rl_os_config config = {
		.seed = (uint64_t)luaL_optnumber(L, 2, 1),
		.faults = luaL_optstring(L, 3, NULL),
	};
	int err = rl_shard_open(&h->shard, luaL_optstring(L, 1, NULL), &config, &why);
	if (err < 0) {
		lua_pushnil(L);
		lua_pushinteger(L, err);
		lua_pushstring(L, why ? why : rl_err_text(err));
		return 3;
	}
	rl_lua_timers_open(h);
	lua_pushstring(L, h->shard.os->ops->name);
	return 1;
}

static void push_shards(lua_State *L, uint64_t mask)
{
	lua_newtable(L);
	for (int n = 1; mask; mask &= mask - 1, n++) {
		lua_pushinteger(L, __builtin_ctzll(mask) + 1);
		lua_rawseti(L, -2, n);
	}
}

/* close([seconds]) -> code: 0, or -EBUSY when kernel-visible memory was kept on purpose; and a list
 * of the shards that did not end within that time */
static int lrun_close(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	uint64_t missing = 0;
	int64_t wait_ns = lua_isnoneornil(L, 1) ? RL_FLEET_END_NS : (int64_t)(lua_tonumber(L, 1) * 1e9);
	rl_profile_gone(L, h);
	rl_lua_timers_close(L, h);
	rl_lua_offload_close(h);
	int err = rl_lua_fleet_leave(h, wait_ns, &missing);
	if (err == 0)
		rl_profile_left(h);
	h->shard.closing = false;
	atomic_store_explicit(&h->shard.nudged, false, memory_order_relaxed);
	if (err < 0)
		rl_shard_forsake(&h->shard);
	lua_pushinteger(L, err < 0 ? err : rl_shard_close(&h->shard));
	push_shards(L, missing);
	return 2;
}

/* hooks(ended, overran): the policy floor's functions */
static int lrun_hooks(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	luaL_unref(L, LUA_REGISTRYINDEX, h->ended_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, h->overran_ref);
	lua_settop(L, 2);
	h->overran_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	h->ended_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* events(bits, fn): which of enum rl_lua_event fn is to hear of, as fn(event, number, text): the id
 * of a task and why it parks, or KiB */
static int lrun_events(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_settop(L, 2);
	luaL_unref(L, LUA_REGISTRYINDEX, h->event_ref);
	h->event_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	h->events = (unsigned)lua_tointeger(L, 1);
	return 0;
}

/* library(prefix): how the source names of our own Lua files begin; they are not preempted */
static int lrun_library(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	const char *prefix = luaL_checkstring(L, 1);
	if (strlen(prefix) < sizeof h->library)
		strcpy(h->library, prefix);
	return 0;
}

/* loop() -> enum rl_loop_end as a number, or a negative code */
static int lrun_loop(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (h->looping)
		return luaL_error(L, "run is active already");
	lua_settop(L, 0);
	luaL_checkstack(L, 16 + RL_FIRED_MAX, NULL);
	rl_lua_push_threads(L, h);
	rl_lua_push_handles(L, h);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->timers_ref);
	h->main = L;
	h->looping = true;
	h->brk = 0;
	int end = rl_shard_loop(&h->shard, &h->brk);
	h->looping = false;
	credit_write(L, h, 0);
	lua_pushinteger(L, end);
	return 1;
}

/* abandon(slot): a task that cannot be ended is given up, outside the loop: its coroutine is never
 * resumed again, and is collected like any other value */
static int lrun_abandon(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_Integer slot = luaL_checkinteger(L, 1);
	struct rl_task *t = slot > 0 ? rl_task_at(&h->shard, (uint32_t)(slot - 1)) : NULL;
	if (!t)
		return 0;
	if (h->looping)
		return luaL_error(L, "a task is abandoned only between loops");
	rl_wait_abandon(&h->shard, t);
	rl_lua_push_threads(L, h);
	lua_pushboolean(L, 0);
	lua_rawseti(L, -2, (int)slot);
	t->co = NULL;
	rl_task_free(&h->shard, t);
	return 0;
}

/* refill(): new credit for the fast paths; gives up the turn when the slice is used up.
 * Returns nil, code when the task is cancelled. Parks. */
static int lrun_refill(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	credit_write(L, h, CREDIT);
	int64_t now = rl_shard_now(&h->shard);
	uint32_t seq = atomic_load_explicit(&h->shard.run_seq, memory_order_relaxed);
	if (h->credit_seq != seq || h->credit_ns > now) {
		h->credit_seq = seq;
		h->credit_ns = now;
	} else if (h->slice_ns > 0 && now - h->credit_ns > h->slice_ns) {
		t->flags |= RL_TASK_PREEMPTED;
		return lua_yield(L, 0);
	}
	return 0;
}

/* credit() -> the credit table */
static int lrun_credit(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, rl_lua_of(L)->credit_ref);
	return 1;
}

static int lrun_break(lua_State *L)
{
	rl_lua_of(L)->brk = 1;
	return 0;
}

/* enter(co) -> saved: a nested coroutine is about to be resumed from L. See lua/ringlet/nest.lua */
static int lrun_enter(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (!h->running) {
		lua_pushnil(L);
		return 1;
	}
	bool pin = L != h->running || !lua_isyieldable(L);
	h->pins += pin;
	h->running = lua_tothread(L, 1);
	lua_pushboolean(L, pin);
	return 1;
}

/* leave(saved) -> true when the nested coroutine's yield is a park of the task's */
static int lrun_leave(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (lua_isnil(L, 1) || !h->shard.current)
		return 0;
	h->pins -= lua_toboolean(L, 1);
	h->running = L;
	lua_pushboolean(L, h->shard.current->state != RL_TASK_RUNNING);
	return 1;
}

/* pass(...): yield a nested coroutine's park further up; returns what ends it */
static int lrun_pass(lua_State *L)
{
	return lua_yield(L, lua_gettop(L));
}

static int lrun_pid(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)getpid());
	return 1;
}

static const luaL_Reg functions[] = {
	{"open", lrun_open},
	{"close", lrun_close},
	{"hooks", lrun_hooks},
	{"events", lrun_events},
	{"library", lrun_library},
	{"loop", lrun_loop},
	{"abandon", lrun_abandon},
	{"refill", lrun_refill},
	{"credit", lrun_credit},
	{"brk", lrun_break},
	{"enter", lrun_enter},
	{"leave", lrun_leave},
	{"pass", lrun_pass},
	{"pid", lrun_pid},
	{NULL, NULL},
};

void rl_lua_open_run(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
