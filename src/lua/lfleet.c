/* SPDX-License-Identifier: MIT */
/*
 * lfleet: the shards of a run as threads, each with a Lua state of its own.
 *
 * The life of a shard but the first: a thread is started and named; it makes a Lua state (see
 * lstate.h for the steps); `ringlet.run` in it opens the seam, takes the seat, runs what shard_init
 * was given, says that it is ready, and loops until it is told to close; it leaves the fleet,
 * closes its seam when all have left, and ends. The first shard is the thread that called run: it
 * waits for all to be ready before main begins, and joins the threads at the end.
 *
 * Invariants: `lock` guards everything in the struct that changes. A shard's seam is closed only
 * when every shard has left: who wakes another may look at it until then.
 */
#define _GNU_SOURCE
#include "lua/lfleet.h"

#include "base/err.h"
#include "lua/lcodec.h"
#include "lua/lhealth.h"
#include "lua/lrun.h"
#include "lua/lsched.h"
#include "lua/lstate.h"
#include "lua/ltopology.h"
#include "os/thread.h"
#include "rt/conduct.h"
#include "rt/offload.h"
#include "rt/watch.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RL_CLOSING_TURNS 100
#define RL_ANY_NODE (-2)

struct lfleet_thread {
	struct rl_lua_fleet *team;
	unsigned index;
	pthread_t id;
	struct rl_cpus cpus;         /* it runs on them alone; empty: anywhere */
	int node;                    /* its memory's; RL_ANY_NODE */
	bool strict;                 /* it cannot do without its node */
	bool classed;                /* it is in a scheduling class of its own */
	struct rl_sched sched;
	_Atomic pid_t tid;           /* 0: it has not begun */
	lua_State *L, *co;           /* simulated: its state, and what runs in it; NULL: it has ended */
	int args;                    /* for the first resume */
};

struct rl_lua_fleet {
	struct rl_fleet *fleet;
	struct rl_lua_boot *boot;
	struct rl_topology *topology; /* NULL: no thread is placed */
	struct rl_watch *watch;      /* the watchdog of all; NULL: no preemption */
	struct rl_offload *pool;     /* helper threads for all; NULL until one is needed */
	struct rl_parcel *config;    /* what the first shard tells the others */
	pid_t tid;                   /* the first shard's thread */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned ready, left, size, threads_len;
	bool failed, abandoned;
	char why[512];               /* the first failure */
	struct rl_health health;
	struct lfleet_thread threads[];
};

static void pool_close(struct rl_offload *pool)
{
	struct timespec now;
	if (!pool)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	rl_offload_close(pool, now_ns + RL_OFFLOAD_END_NS);
	rl_shared_put(rl_offload_shared(pool));
}

static void team_free(struct rl_lua_fleet *team)
{
	pool_close(team->pool);
	rl_fleet_free(team->fleet);
	rl_lua_boot_put(team->boot);
	rl_topology_free(team->topology);
	for (unsigned i = 0; i < team->size; i++)
		rl_cpus_term(&team->threads[i].cpus);
	rl_parcel_put(team->config);
	pthread_cond_destroy(&team->changed);
	pthread_mutex_destroy(&team->lock);
	free(team);
}

static struct rl_lua_fleet *team_new(unsigned size)
{
	pthread_condattr_t attr;
	struct rl_lua_fleet *team = calloc(1, sizeof *team + size * sizeof team->threads[0]);
	if (!team)
		return NULL;
	pthread_mutex_init(&team->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&team->changed, &attr);
	pthread_condattr_destroy(&attr);
	team->size = size;
	for (unsigned i = 0; i < size; i++)
		team->threads[i] = (struct lfleet_thread){
			.team = team, .index = i + 1, .node = RL_ANY_NODE,
		};
	team->fleet = rl_fleet_new(size);
	team->health.fleet = team->fleet;
	team->health.lock = &team->lock;
	team->health.abandoned = &team->abandoned;
	if (team->fleet)
		return team;
	team_free(team);
	return NULL;
}

static void team_fail(struct rl_lua_fleet *team, const char *why)
{
	pthread_mutex_lock(&team->lock);
	if (!team->failed)
		snprintf(team->why, sizeof team->why, "%s", why ? why : "unknown error");
	team->failed = true;
	pthread_cond_broadcast(&team->changed);
	pthread_mutex_unlock(&team->lock);
}

/* (thread) -> what the first shard tells; raises what cannot be made here */
static int unpack_config(lua_State *L)
{
	struct lfleet_thread *t = lua_touserdata(L, 1);
	lua_settop(L, 0);
	return rl_lua_unpack(L, rl_lua_of_state(L), t->team->config);
}

/* Push the function `worker` of ringlet.run in the new state, and its arguments; returns how many,
 * or below 0 with an error on top. */
static int push_worker(lua_State *L, struct lfleet_thread *t)
{
	struct rl_lua *h = rl_lua_of_state(L);
	h->team = t->team;
	h->seat = t->index;
	lua_getglobal(L, "require");
	lua_pushliteral(L, "ringlet.run");
	if (lua_pcall(L, 1, 1, 0) != 0)
		return -1;
	lua_getfield(L, -1, "worker");
	lua_remove(L, -2);
	int top = lua_gettop(L);
	lua_pushcfunction(L, unpack_config);
	lua_pushlightuserdata(L, t);
	if (lua_pcall(L, 1, LUA_MULTRET, 0) != 0)
		return -1;
	return lua_gettop(L) - top;
}

static void run_worker(lua_State *L, struct lfleet_thread *t)
{
	int n = push_worker(L, t);
	if (n < 0 || lua_pcall(L, n, 0, 0) != 0)
		team_fail(t->team, lua_tostring(L, -1));
	lua_settop(L, 0);
	rl_lua_fleet_leave(rl_lua_of_state(L), 0, NULL);
}

/* A thread that never took its seat has left. */
static void count_left(struct rl_lua_fleet *team)
{
	pthread_mutex_lock(&team->lock);
	team->left++;
	pthread_cond_broadcast(&team->changed);
	pthread_mutex_unlock(&team->lock);
}

/* Before anything is allocated: memory comes from where the thread is when it is touched first. */
static bool place(struct lfleet_thread *t, char *why, size_t size)
{
	const struct rl_topology *topology = t->team->topology;
	int err = 0;
	if (topology && t->cpus.len > 0)
		err = rl_topology_pin(topology, &t->cpus);
	if (err < 0) {
		snprintf(why, size, "cannot pin shard %u: %s", t->index + 1, rl_err_text(err));
		return false;
	}
	if (topology && t->node != RL_ANY_NODE)
		err = rl_topology_bind(topology, t->node);
	if (err < 0 && t->strict)
		snprintf(why, size, "cannot bind shard %u to node %d: %s", t->index + 1, t->node,
			rl_err_text(err));
	return err == 0 || !t->strict;
}

/* Whether it is allowed was tried before. */
static bool join_class(struct lfleet_thread *t, char *why, size_t size)
{
	int err = t->classed ? rl_sched_set(&t->sched) : 0;
	if (err < 0)
		snprintf(why, size, "cannot schedule shard %u: %s", t->index + 1, rl_err_text(err));
	return err == 0;
}

static void *thread_main(void *arg)
{
	struct lfleet_thread *t = arg;
	char why[512];
	lua_State *L = NULL;
	rl_watch_hear();
	atomic_store_explicit(&t->tid, gettid(), memory_order_relaxed);
	if (place(t, why, sizeof why) && join_class(t, why, sizeof why))
		L = rl_lua_state_new(t->team->boot, why, sizeof why);
	if (L) {
		run_worker(L, t);
		lua_close(L);
	} else {
		team_fail(t->team, why);
		count_left(t->team);
	}
	return NULL;
}

/* Signals stay with the first shard's thread, but for the one of preemption. */
static int thread_start(struct lfleet_thread *t)
{
	sigset_t block, before;
	char name[16];
	sigfillset(&block);
	pthread_sigmask(SIG_SETMASK, &block, &before);
	int err = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0)
		return -err;
	snprintf(name, sizeof name, "ringlet-%u", t->index + 1);
	pthread_setname_np(t->id, name);
	return 0;
}

/* Those this process may use; 0: more than fit a cpu_set_t, or the kernel does not tell. */
static unsigned count_cpus(void)
{
	cpu_set_t cpus;
	return sched_getaffinity(0, sizeof cpus, &cpus) < 0 ? 0 : (unsigned)CPU_COUNT(&cpus);
}

/* fleet_open(size, stealing, preload|nil, ...) -> true | nil, code: a fleet, in whose first seat
 * this shard is; the rest is for the others: see fleet_start. The seam is open. */
static int lfleet_open(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	unsigned size = (unsigned)luaL_checkinteger(L, 1);
	rl_lua_check_run(L, h);
	struct rl_lua_fleet *team = team_new(size);
	if (!team)
		return rl_lua_fail(L, -ENOMEM);
	team->fleet->stealing = lua_toboolean(L, 2);
	team->fleet->cpus = h->shard.os->closed_world ? 0 : count_cpus();
	team->tid = gettid();
	atomic_store_explicit(&team->fleet->notes_fd, h->shard.notes_fd, memory_order_relaxed);
	h->team = team;
	h->seat = 0;
	rl_fleet_join(team->fleet, 0, &h->shard);
	lua_pushboolean(L, 1);
	return 1;
}

/* Simulated: a turn of that shard, on this thread. */
static void team_step(void *arg, unsigned index)
{
	struct rl_lua_fleet *team = arg;
	struct lfleet_thread *t = &team->threads[index - 1];
	int results;
	if (!t->co)
		return;
	int status = rl_resume(t->co, t->L, t->args, &results);
	t->args = 0;
	if (status == LUA_YIELD)
		return;
	if (status != LUA_OK)
		team_fail(team, lua_tostring(t->co, -1));
	t->co = NULL;
	rl_lua_fleet_leave(rl_lua_of_state(t->L), 0, NULL);
}

/* Simulated: a state, and in it a coroutine that is stepped. */
static void state_start(struct lfleet_thread *t)
{
	char why[512];
	t->L = rl_lua_state_new(t->team->boot, why, sizeof why);
	if (!t->L) {
		team_fail(t->team, why);
		return;
	}
	lua_State *co = lua_newthread(t->L);
	int n = push_worker(t->L, t);
	if (n < 0) {
		team_fail(t->team, lua_tostring(t->L, -1));
		return;
	}
	lua_checkstack(co, n + 1);
	lua_xmove(t->L, co, n + 1);
	t->co = co;
	t->args = n;
	team_step(t->team, t->index);
}

static void start_states(struct rl_lua_fleet *team, struct rl_shard *s)
{
	team->fleet->step = team_step;
	team->fleet->step_arg = team;
	for (unsigned i = 1; i < team->size && !team->failed; i++) {
		team->threads_len++;
		state_start(&team->threads[i - 1]);
	}
	while (!team->failed && team->ready < team->size - 1)
		if (rl_conduct_round(s) == 0 && !rl_conduct_advance(s))
			team_fail(team, "deadlock: shard_init waits for what never comes");
}

/* 0, or a negative code when a thread cannot be started. */
static int start_threads(struct rl_lua_fleet *team)
{
	int err = 0;
	pthread_mutex_lock(&team->lock);
	for (unsigned i = 1; i < team->size && err == 0; i++) {
		err = thread_start(&team->threads[i - 1]);
		team->threads_len += err == 0;
	}
	while (err == 0 && !team->failed && team->ready < team->size - 1)
		pthread_cond_wait(&team->changed, &team->lock);
	pthread_mutex_unlock(&team->lock);
	return err;
}

/* fleet_place(shard, cpus|false, node|false, strict) -> true | nil, code: where the thread of a
 * shard but the first will run */
static int lfleet_place(lua_State *L)
{
	struct rl_lua_fleet *team = rl_lua_of(L)->team;
	lua_Integer index = luaL_checkinteger(L, 1);
	int err = team->topology ? 0 : rl_topology_read(&team->topology, "", NULL);
	if (index < 2 || (size_t)index > team->size)
		return rl_lua_fail(L, -EINVAL);
	struct lfleet_thread *t = &team->threads[index - 2];
	if (err == 0 && lua_istable(L, 2))
		err = rl_lua_cpus_of_list(L, 2, &t->cpus);
	if (err < 0)
		return rl_lua_fail(L, err);
	t->node = lua_isnumber(L, 3) ? (int)lua_tointeger(L, 3) : RL_ANY_NODE;
	t->strict = lua_toboolean(L, 4);
	lua_pushboolean(L, 1);
	return 1;
}

/* fleet_sched(shard, policy, priority, nice, slice): the class that the thread of a shard but the
 * first will be in */
static int lfleet_sched(lua_State *L)
{
	struct rl_lua_fleet *team = rl_lua_of(L)->team;
	lua_Integer index = luaL_checkinteger(L, 1);
	luaL_argcheck(L, index >= 2 && (size_t)index <= team->size, 1, "no such shard");
	struct lfleet_thread *t = &team->threads[index - 2];
	t->sched = rl_lua_check_sched(L, 2);
	t->classed = true;
	return 0;
}

/* fleet_start(preload|nil, ...) -> true | false, why | nil, code: start the other shards; each
 * calls `worker` of ringlet.run with copies of the rest. Waits until all are ready, or one has
 * failed. */
static int lfleet_start(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_lua_fleet *team = h->team;
	team->boot = rl_lua_boot_capture(L, lua_istable(L, 1) ? 1 : 0);
	team->config = rl_lua_pack(L, h, 2, lua_gettop(L) - 1, "config");
	int err = 0;
	if (h->shard.os->closed_world)
		start_states(team, &h->shard);
	else
		err = start_threads(team);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, !team->failed);
	lua_pushstring(L, team->why);
	return 2;
}

/* fleet_join(): a shard but the first takes its seat, its seam being open */
static int lfleet_join(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_lua_check_run(L, h);
	rl_fleet_join(h->team->fleet, h->seat, &h->shard);
	return 0;
}

/* fleet_ready([why]): a shard but the first can begin; or cannot */
static int lfleet_ready(lua_State *L)
{
	struct rl_lua_fleet *team = rl_lua_of(L)->team;
	if (!lua_isnoneornil(L, 1)) {
		team_fail(team, lua_tostring(L, 1));
		return 0;
	}
	pthread_mutex_lock(&team->lock);
	team->ready++;
	pthread_cond_broadcast(&team->changed);
	pthread_mutex_unlock(&team->lock);
	return 0;
}

/* fleet_closing(): leave the loop, whatever is left in it */
static int lfleet_closing(lua_State *L)
{
	rl_lua_of(L)->shard.closing = true;
	return 0;
}

/* fleet() -> index from 1, size; nothing outside of a run */
static int lfleet_which(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	if (!s->fleet)
		return 0;
	lua_pushinteger(L, (lua_Integer)s->index + 1);
	lua_pushinteger(L, s->fleet->size);
	return 2;
}

/* fleet_watch(slice, stall seconds, starve seconds, priority, nice) -> true | nil, code: preemption
 * is on for this shard; the first opens the watchdog of all. A shard that makes no progress for so
 * long is stalled, one that gets no core for so long is starved; 0: none is. The highest priority
 * that a shard will have, and the lowest nice value: the watchdog goes before them. */
static int lfleet_watch(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_lua_fleet *team = h->team;
	int err = 0;
	h->slice_ns = (int64_t)(luaL_checknumber(L, 1) * 1e9);
	struct rl_watch_config config = {
		.slice_ns = h->slice_ns, .stall_ns = (int64_t)(luaL_checknumber(L, 2) * 1e9),
		.starve_ns = (int64_t)(luaL_checknumber(L, 3) * 1e9),
		.stalled = rl_health_stalled, .starved = rl_health_starved, .arg = &team->health,
		.priority = (unsigned)luaL_optinteger(L, 4, 0), .nice = (int)luaL_optinteger(L, 5, 0),
	};
	if (h->seat == 0)
		err = rl_watch_open(&team->watch, &config);
	if (err == 0 && h->seat == 0)
		team->fleet->watched = true;
	if (err == 0 && team->watch)
		err = rl_watch_enter(team->watch, &h->shard);
	if (err < 0)
		return rl_lua_fail(L, err);
	h->watch = team->watch;
	lua_pushboolean(L, 1);
	return 1;
}

/* fleet_unwatch(): off, for this shard */
static int lfleet_unwatch(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_watch_leave(h->watch, &h->shard);
	h->watch = NULL;
	return 0;
}

struct rl_offload *rl_lua_fleet_pool(struct rl_lua_fleet *team, lua_State *L,
	struct rl_offload *(*make)(lua_State *L))
{
	pthread_mutex_lock(&team->lock);
	struct rl_offload *pool = team->pool, *made = NULL;
	pthread_mutex_unlock(&team->lock);
	if (!pool)
		made = make(L);
	pthread_mutex_lock(&team->lock);
	if (!team->pool) {
		team->pool = made;
		made = NULL;
	}
	pool = team->pool;
	rl_shared_get(rl_offload_shared(pool));
	pthread_mutex_unlock(&team->lock);
	if (made)
		rl_shared_put(rl_offload_shared(made));
	return pool;
}

/* fleet_live() -> how many tasks live, in all shards; of others, when they fell asleep last */
static int lfleet_live(lua_State *L)
{
	struct rl_shard *s = &rl_lua_of(L)->shard;
	unsigned n = s->live;
	for (unsigned i = 0; s->fleet && i < s->fleet->size; i++)
		if (i != s->index)
			n += atomic_load_explicit(&s->fleet->seats[i].live, memory_order_relaxed);
	lua_pushinteger(L, n);
	return 1;
}

static void set_count(lua_State *L, const char *name, const _Atomic uint64_t *counter)
{
	lua_pushinteger(L, (lua_Integer)atomic_load_explicit(counter, memory_order_relaxed));
	lua_setfield(L, -2, name);
}

struct rl_health *rl_lua_fleet_health(const struct rl_lua *h)
{
	return h->team ? &h->team->health : NULL;
}

pid_t rl_lua_fleet_tid(const struct rl_lua *h, lua_Integer shard)
{
	const struct rl_lua_fleet *team = h->team;
	if (!team || shard < 1 || (size_t)shard > team->size)
		return 0;
	const struct rl_seat *seat = &team->fleet->seats[shard - 1];
	if (atomic_load_explicit(&seat->state, memory_order_relaxed) == RL_SEAT_GONE)
		return 0;
	bool on_first = shard == 1 || team->fleet->step;
	return on_first ? team->tid
		: atomic_load_explicit(&team->threads[shard - 2].tid, memory_order_relaxed);
}

uint64_t rl_lua_fleet_stalls(const struct rl_lua *h, unsigned *stalled)
{
	const struct rl_health *g = rl_lua_fleet_health(h);
	*stalled = 0;
	for (unsigned i = 0; g && i < g->fleet->size; i++)
		*stalled += rl_health_since(g, i) != 0;
	return g ? rl_health_count(g, h->seat) : 0;
}

/* fleet_stats() -> array of {sent, rings, steals, tries, started, queued, stalls, stalled}, one for
 * each shard */
static int lfleet_stats(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_shard *s = &h->shard;
	lua_newtable(L);
	for (unsigned i = 0; s->fleet && i < s->fleet->size; i++) {
		struct rl_seat *seat = &s->fleet->seats[i];
		lua_createtable(L, 0, 8);
		set_count(L, "sent", &seat->sent);
		set_count(L, "rings", &seat->rings);
		set_count(L, "steals", &seat->steals);
		set_count(L, "tries", &seat->tries);
		set_count(L, "started", &seat->started);
		set_count(L, "stalls", &h->team->health.stalls[i].count);
		lua_pushboolean(L, rl_health_since(&h->team->health, i) != 0);
		lua_setfield(L, -2, "stalled");
		lua_pushinteger(L, rl_deque_len(&seat->jobs));
		lua_setfield(L, -2, "queued");
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

static struct timespec end_of_wait(int64_t wait_ns)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	int64_t ns = (int64_t)ts.tv_nsec + wait_ns;
	ts.tv_sec += ns / 1000000000;
	ts.tv_nsec = ns % 1000000000;
	return ts;
}

/* Wait until all have left; the first shard only so long. Lock held. */
static bool wait_left(struct rl_lua_fleet *team, bool first, int64_t wait_ns)
{
	struct timespec until = end_of_wait(wait_ns);
	unsigned all = team->threads_len + 1;
	int err = 0;
	while (team->left < all && err == 0 && !team->abandoned)
		err = first ? pthread_cond_timedwait(&team->changed, &team->lock, &until)
			: pthread_cond_wait(&team->changed, &team->lock);
	return team->left == all;
}

static void join_threads(struct rl_lua_fleet *team)
{
	for (unsigned i = 0; i < team->threads_len; i++)
		pthread_join(team->threads[i].id, NULL);
}

/* What a thread that does not end can reach is kept for it: the team, and this code. */
static int abandon(struct rl_lua_fleet *team, uint64_t *missing)
{
	for (unsigned i = 0; missing && i < team->size; i++) {
		const struct rl_seat *seat = &team->fleet->seats[i];
		if (atomic_load_explicit(&seat->state, memory_order_relaxed) != RL_SEAT_GONE)
			*missing |= (uint64_t)1 << i;
	}
	for (unsigned i = 0; i < team->threads_len; i++)
		pthread_detach(team->threads[i].id);
	rl_thread_pin_code();
	return -EBUSY;
}

/* Simulated: let each come to its end. They have been told to close, so a few turns do. */
static int end_states(struct rl_lua_fleet *team)
{
	for (unsigned i = 0; i < team->threads_len; i++) {
		struct lfleet_thread *t = &team->threads[i];
		for (int left = RL_CLOSING_TURNS; t->co && left > 0; left--)
			team_step(team, t->index);
	}
	for (unsigned i = 0; i < team->threads_len; i++)
		if (team->threads[i].L)
			lua_close(team->threads[i].L);
	team_free(team);
	return 0;
}

/* The first shard's part of the end. */
static int end_team(struct rl_lua_fleet *team, bool all_left, uint64_t *missing)
{
	if (!all_left)
		return abandon(team, missing);
	join_threads(team);
	rl_watch_close(team->watch);
	team_free(team);
	return 0;
}

int rl_lua_fleet_leave(struct rl_lua *h, int64_t wait_ns, uint64_t *missing)
{
	struct rl_lua_fleet *team = h->team;
	if (!team)
		return 0;
	bool first = h->seat == 0, simulated = team->fleet->step != NULL;
	if (first && simulated)
		rl_fleet_turn(&h->shard);
	rl_fleet_leave(&h->shard);
	h->team = NULL;
	if (simulated)
		return first ? end_states(team) : 0;
	pthread_mutex_lock(&team->lock);
	team->left++;
	bool all = wait_left(team, first, wait_ns);
	team->abandoned = !all;
	pthread_cond_broadcast(&team->changed);
	pthread_mutex_unlock(&team->lock);
	if (first)
		return end_team(team, all, missing);
	return all ? 0 : -EBUSY;
}

static const luaL_Reg functions[] = {
	{"fleet", lfleet_which},
	{"fleet_open", lfleet_open},
	{"fleet_place", lfleet_place},
	{"fleet_sched", lfleet_sched},
	{"fleet_watch", lfleet_watch},
	{"fleet_unwatch", lfleet_unwatch},
	{"fleet_start", lfleet_start},
	{"fleet_join", lfleet_join},
	{"fleet_ready", lfleet_ready},
	{"fleet_closing", lfleet_closing},
	{"fleet_live", lfleet_live},
	{"fleet_stats", lfleet_stats},
	{NULL, NULL},
};

void rl_lua_open_fleet(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
