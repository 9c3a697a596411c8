/* SPDX-License-Identifier: MIT */
/*
 * loffload: offload pools from Lua: the Lua states of helper threads, calls, and their way home.
 *
 * A helper thread makes its state at its first call and keeps it until it ends. In it a call is run
 * by `run` of lua/ringlet/offload.lua, which gets the call as a light userdata. The submitter has
 * it as a full userdata, {struct rl_call *}. A pool is an object that shards share: it travels.
 *
 * Invariants: a helper's state is entered by its own thread alone, also by SIGURG's handler, and
 * only while `running`. What a call raises, running out of memory included, ends that call and
 * nothing else; a state that ran out of memory is not used again.
 */
#include "lua/lfleet.h"

#include "base/err.h"
#include "lua/lcodec.h"
#include "lua/lrun.h"
#include "lua/lstate.h"
#include "rt/call.h"
#include "rt/offload.h"
#include "rt/watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL "ringlet.call"
#define WHY_MAX 512

static const char worker_key;

/* What a helper thread runs calls with. */
struct lworker {
	lua_State *L;
	struct rl_lua *h;
	int run_ref;
	struct rl_call *call;
	volatile sig_atomic_t running;
};

/* ---- on a helper thread ---------------------------------------------------------------------- */

/* The call is cancelled: raise, and at each further instruction, so that no pcall of the call's
 * keeps it alive. */
static void cancel_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_pushlightuserdata(L, (void *)&worker_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	struct lworker *w = lua_touserdata(L, -1);
	lua_pop(L, 1);
	bool ends = w && w->running
		&& atomic_load_explicit(&w->call->cancelled, memory_order_relaxed);
	if (!ends) {
		lua_sethook(L, NULL, 0, 0);
		return;
	}
	lua_pushliteral(L, "the call was cancelled");
	lua_error(L);
}

/* Signal context. */
static void interrupt(void *arg)
{
	struct lworker *w = arg;
	if (w->running && !lua_gethook(w->L))
		lua_sethook(w->L, cancel_hook, LUA_MASKCOUNT, 1);
}

/* worker -> : the function that runs calls */
static int worker_fill(lua_State *L)
{
	struct lworker *w = lua_touserdata(L, 1);
	lua_pushlightuserdata(L, (void *)&worker_key);
	lua_pushlightuserdata(L, w);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "ringlet.offload");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "begin");
	lua_call(L, 0, 1);
	w->run_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	w->h = rl_lua_of_state(L);
	return 0;
}

static void worker_free(void *self)
{
	struct lworker *w = self;
	if (w->L)
		lua_close(w->L);
	free(w);
}

/* NULL: it cannot be had, and why. */
static struct lworker *worker_new(const struct rl_lua_boot *boot, char *why, size_t size)
{
	struct lworker *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->L = rl_lua_state_new(boot, why, size);
	if (w->L && rl_cpcall(w->L, worker_fill, w) == LUA_OK)
		return w;
	if (w->L) {
		const char *text = lua_tostring(w->L, -1);
		snprintf(why, size, "%s", text ? text : "unknown error");
	}
	worker_free(w);
	return NULL;
}

static int worker_perform(lua_State *L)
{
	struct lworker *w = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, w->run_ref);
	lua_pushlightuserdata(L, w->call);
	lua_call(L, 1, 0);
	return 0;
}

static void fail_call(struct rl_call *c, const char *why)
{
	rl_value_drop(&c->result);
	c->results = 0;
	c->ok = false;
	c->why = strdup(why ? why : "an error that is no text");
}

static void vm_run(void *arg, void **self, struct rl_call *c)
{
	char why[WHY_MAX] = "not enough memory";
	struct lworker *w = *self;
	if (!w)
		*self = w = worker_new(arg, why, sizeof why);
	if (!w) {
		fail_call(c, why);
		return;
	}
	w->call = c;
	if (!c->simulated)
		rl_watch_lend(interrupt, w);
	w->running = 1;
	/* A signal that came before this was for nothing; what it had to say is seen then. */
	atomic_signal_fence(memory_order_seq_cst);
	int status = LUA_OK;
	if (!atomic_load_explicit(&c->cancelled, memory_order_relaxed))
		status = rl_cpcall(w->L, worker_perform, w);
	w->running = 0;
	lua_sethook(w->L, NULL, 0, 0);
	if (!c->simulated)
		rl_watch_lend(NULL, NULL);
	if (status != LUA_OK)
		fail_call(c, lua_tostring(w->L, -1));
	lua_settop(w->L, 0);
	if (status == LUA_ERRMEM) {
		*self = NULL;
		worker_free(w);
	}
}

static void vm_free(void *arg)
{
	rl_lua_boot_put(arg);
}

static const struct rl_offload_vm vm = {.run = vm_run, .end = worker_free, .free = vm_free};

/* call_open(call) -> fn, ...: copies, for this state */
static int loffload_open(lua_State *L)
{
	struct rl_call *c = lua_touserdata(L, 1);
	return rl_lua_unpack(L, rl_lua_of(L), c->args);
}

/* call_end(call, ok, ...): with its results, or its error and traceback. Raises what cannot
 * travel. */
static int loffload_end(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_call *c = lua_touserdata(L, 1);
	int n = lua_gettop(L) - 2;
	if (n == 1 && !lua_isnil(L, 3)) {
		rl_lua_encode(L, h, 3, "offload.result", &c->result);
		c->results = 1;
	} else if (n > 0) {
		c->result.parcel = rl_lua_pack(L, h, 3, n, "offload.results");
		c->result.kind = RL_VALUE_PARCEL;
		c->results = 2;
	}
	c->ok = lua_toboolean(L, 2);
	return 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct lcall {
	struct rl_call *call;
};

static struct rl_call *check_call(lua_State *L, int arg)
{
	return ((struct lcall *)luaL_checkudata(L, arg, CALL))->call;
}

static int lcall_gc(lua_State *L)
{
	struct lcall *l = luaL_checkudata(L, 1, CALL);
	struct rl_call *c = l->call;
	l->call = NULL;
	rl_call_put(c);
	return 0;
}

static void on_admitted(struct rl_call *c)
{
	struct rl_lua *h = c->owner;
	rl_waitq_wake(&h->shard, &c->room_waiters, 0, true);
}

/* settled(number, call) is called for one that has a future. */
static void on_home(struct rl_call *c)
{
	struct rl_lua *h = c->owner;
	lua_State *L = h->main;
	rl_waitq_wake(&h->shard, &c->room_waiters, 0, true);
	rl_waitq_wake(&h->shard, &c->waiters, 0, true);
	if (c->number == 0)
		return;
	luaL_checkstack(L, 4, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->offloaded_ref);
	lua_pushinteger(L, (lua_Integer)c->number);
	struct lcall *l = rl_lua_new(L, sizeof *l, CALL);
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	l->call = c;
	rl_lua_run_tell(h, 2);
}

static struct rl_offload *check_pool(lua_State *L, int arg)
{
	struct rl_offload *p = rl_offload_of(rl_lua_to_shared(L, arg));
	if (!p)
		luaL_argerror(L, arg, "offload pool expected");
	return p;
}

static struct rl_port *port_of(lua_State *L, struct rl_lua *h)
{
	if (!h->port)
		h->port = rl_port_new(&h->shard);
	if (!h->port)
		luaL_error(L, "not enough memory");
	return h->port;
}

/* offload_submit(pool, lines, number, fn, ...) -> call, whether it is in line for room | nil, code.
 * Raises what cannot travel. */
static int loffload_submit(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_offload *p = check_pool(L, 1);
	rl_lua_check_park(L, h);
	struct rl_port *port = port_of(L, h);
	struct lcall *l = rl_lua_new(L, sizeof *l, CALL);
	lua_insert(L, 4);
	struct rl_parcel *args = rl_lua_pack_job(L, h, 5, lua_gettop(L) - 4);
	l->call = rl_call_new(port, args);
	if (!l->call) {
		rl_parcel_put(args);
		return luaL_error(L, "not enough memory");
	}
	l->call->owner = h;
	l->call->admitted = on_admitted;
	l->call->home = on_home;
	l->call->number = (uint32_t)lua_tointeger(L, 3);
	int err = rl_call_submit(l->call, p, lua_toboolean(L, 2));
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_settop(L, 4);
	lua_pushboolean(L, err);
	return 2;
}

/* offload_room(call), offload_wait(call) -> true | nil, code: until it is no more in line; until
 * its results are there. Park. */
static int loffload_room(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_call *c = check_call(L, 1);
	if (!c->is_admitted)
		return rl_lua_park(L, h, &c->room_waiters, RL_REASON_OFFLOAD, -1);
	lua_pushboolean(L, 1);
	return 1;
}

static int loffload_wait(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_call *c = check_call(L, 1);
	if (!c->is_home)
		return rl_lua_park(L, h, &c->waiters, RL_REASON_OFFLOAD, -1);
	lua_pushboolean(L, 1);
	return 1;
}

/* offload_results(call) -> ok, its results, or its error and traceback; nil, code: it did not
 * run */
static int loffload_results(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_call *c = check_call(L, 1);
	if (c->err < 0)
		return rl_lua_fail(L, c->err);
	lua_pushboolean(L, c->ok);
	if (c->why) {
		lua_pushstring(L, c->why);
		return 2;
	}
	if (c->results == 0)
		return 1;
	if (c->results == 1) {
		rl_lua_decode(L, h, &c->result);
		return 2;
	}
	return 1 + rl_lua_unpack(L, h, c->result.parcel);
}

/* offload_cancel(call) -> true when it never runs; one that runs is interrupted if that can be */
static int loffload_cancel(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_pushboolean(L, rl_call_cancel(check_call(L, 1), h->watch != NULL));
	return 1;
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* A whole number from `min` to `max`: the policy floor has checked it. */
static unsigned whole(lua_State *L, int arg, double min, double max)
{
	double n = luaL_checknumber(L, arg);
	return (unsigned)(n < min ? min : n > max ? max : n);
}

/* Push a pool, whose reference is taken over. */
static void push_pool(lua_State *L, struct rl_lua *h, struct rl_offload *p)
{
	rl_lua_push_shared(L, h, rl_offload_shared(p));
	rl_shared_put(rl_offload_shared(p));
}

/* The pool of the arguments max, min, idle, queue, name, preload|nil. */
static struct rl_offload *pool_new(lua_State *L)
{
	struct rl_offload_config config = {
		.threads_max = whole(L, 1, 1, RL_OFFLOAD_THREADS_MAX),
		.threads_min = whole(L, 2, 0, RL_OFFLOAD_THREADS_MAX),
		.idle_ns = (int64_t)(luaL_checknumber(L, 3) * 1e9),
		.queue_max = whole(L, 4, 0, 1e9),
		.name = luaL_checkstring(L, 5),
		.vm = &vm,
	};
	config.arg = rl_lua_boot_capture(L, lua_istable(L, 6) ? 6 : 0);
	struct rl_offload *p = rl_offload_new(&config);
	if (!p) {
		rl_lua_boot_put(config.arg);
		luaL_error(L, "not enough memory");
	}
	return p;
}

/* offload_new(max, min, idle seconds, queue, name, preload|nil) -> pool */
static int loffload_new(lua_State *L)
{
	push_pool(L, rl_lua_of(L), pool_new(L));
	return 1;
}

/* offload_default(the same) -> the pool of the run, made by whoever asks first */
static int loffload_default(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (!h->team)
		rl_lua_misuse(L, h, "not inside a task: this needs a running rl.run");
	push_pool(L, h, rl_lua_fleet_pool(h->team, L, pool_new));
	return 1;
}

static void set_count(lua_State *L, const char *name, lua_Integer n)
{
	lua_pushinteger(L, n);
	lua_setfield(L, -2, name);
}

/* offload_stats(pool) -> table */
static int loffload_stats(lua_State *L)
{
	struct rl_offload_stats s;
	rl_offload_stats(check_pool(L, 1), &s);
	lua_createtable(L, 0, 8);
	set_count(L, "threads", s.threads);
	set_count(L, "idle", s.idle);
	set_count(L, "max_threads", s.threads_max);
	set_count(L, "queued", s.queued);
	set_count(L, "waiting", s.lined);
	set_count(L, "running", s.running);
	set_count(L, "peak", s.peak);
	set_count(L, "done", (lua_Integer)s.done);
	return 1;
}

/* offload_name(pool) -> string */
static int loffload_name(lua_State *L)
{
	lua_pushstring(L, rl_offload_name(check_pool(L, 1)));
	return 1;
}

/* offload_resize(pool, max) */
static int loffload_resize(lua_State *L)
{
	struct rl_offload *p = check_pool(L, 1);
	rl_offload_resize(p, &rl_lua_of(L)->shard, whole(L, 2, 1, RL_OFFLOAD_THREADS_MAX));
	return 0;
}

/* offload_shut(pool) */
static int loffload_shut(lua_State *L)
{
	rl_offload_shut(check_pool(L, 1), &rl_lua_of(L)->shard);
	return 0;
}

/* offloaded(settled) -> the metatable of pools, for methods */
static int loffload_hooks(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_settop(L, 1);
	luaL_unref(L, LUA_REGISTRYINDEX, h->offloaded_ref);
	h->offloaded_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_getfield(L, LUA_REGISTRYINDEX, rl_offload_class.name);
	return 1;
}

void rl_lua_offload_close(struct rl_lua *h)
{
	rl_port_close(h->port);
	h->port = NULL;
}

static const luaL_Reg functions[] = {
	{"call_open", loffload_open},
	{"call_end", loffload_end},
	{"offload_new", loffload_new},
	{"offload_default", loffload_default},
	{"offload_submit", loffload_submit},
	{"offload_room", loffload_room},
	{"offload_wait", loffload_wait},
	{"offload_results", loffload_results},
	{"offload_cancel", loffload_cancel},
	{"offload_stats", loffload_stats},
	{"offload_name", loffload_name},
	{"offload_resize", loffload_resize},
	{"offload_shut", loffload_shut},
	{"offloaded", loffload_hooks},
	{NULL, NULL},
};

static const luaL_Reg methods[] = {
	{"__gc", lcall_gc},
	{NULL, NULL},
};

void rl_lua_open_offload(lua_State *L, struct rl_lua *h)
{
	h->offloaded_ref = LUA_NOREF;
	rl_lua_class(L, h, CALL, methods);
	rl_lua_shared_class(L, h, &rl_offload_class, NULL);
	lua_pop(L, 2);
	rl_lua_register(L, h, functions);
}
