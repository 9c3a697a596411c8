/* SPDX-License-Identifier: MIT */
/*
 * ljob: jobs from Lua: submitting, what runs one, and how its end comes home.
 *
 * A job begins as a task whose function is `run_job` of lua/ringlet/jobs.lua, with the job as its
 * argument: a light userdata, on the runner's side, from the beginning until job_end.
 *
 * At the origin it is a full userdata with a wait queue, in a future: {pending, job, ...}, a table
 * that the shard holds by a number until the job has ended. Its results are made when somebody asks
 * for them, in the task that asks. A future with an owner, which is true in the table, is one whose
 * end is told whatever it is.
 */
#include "lua/lrun.h"

#include "base/err.h"
#include "lua/lcodec.h"
#include "lua/lwait.h"
#include "rt/job.h"

#include <stdlib.h>
#include <string.h>

#define JOB "ringlet.job"
#define SETTLED "ringlet.job.settled"  /* its results were taken: nothing is left to collect */

enum { FUTURE_PENDING = 1, FUTURE_JOB = 2, FUTURE_OWNER = 5 };

struct ljob {
	struct lwaitq q;        /* first: what waits takes it for a wait queue */
	struct rl_job *job;     /* NULL: settled */
	int number;             /* 0: not submitted yet, both references are the origin's */
};

static struct ljob *check_job(lua_State *L, int arg)
{
	return luaL_checkudata(L, arg, JOB);
}

/* The origin does not want it any more. */
static void let_go(struct ljob *l)
{
	struct rl_job *job = l->job;
	l->job = NULL;
	job->self = NULL;
	if (l->number == 0)
		rl_job_put(job);
	rl_job_put(job);
}

static int ljob_gc(lua_State *L)
{
	struct ljob *l = check_job(L, 1);
	if (l->job)
		let_go(l);
	return 0;
}

/* The future on top gets a number, which is the one given back last. */
static int keep_future(lua_State *L, struct rl_lua *h)
{
	int number = h->futures_free;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->futures_ref);
	if (number == 0) {
		number = ++h->futures_len;
	} else {
		lua_rawgeti(L, -1, number);
		h->futures_free = (int)lua_tointeger(L, -1);
		lua_pop(L, 1);
	}
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, number);
	lua_pop(L, 1);
	return number;
}

/* Push the future with this number, which is given back. */
static void take_future(lua_State *L, struct rl_lua *h, int number)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->futures_ref);
	lua_rawgeti(L, -1, number);
	lua_pushinteger(L, h->futures_free);
	lua_rawseti(L, -3, number);
	lua_remove(L, -2);
	h->futures_free = number;
}

/* The job that a runner's function was given. */
static struct rl_job *runner_job(lua_State *L)
{
	return lua_touserdata(L, 1);
}

static void check_run(lua_State *L, struct rl_lua *h)
{
	if (!h->shard.fleet)
		rl_lua_misuse(L, h, "not inside a task: jobs are submitted while rl.run is active");
}

/* The future at `future` gets a job with this work, a reference to which is taken over; what is
 * above it goes. */
static struct ljob *add_job(lua_State *L, struct rl_lua *h, int future, struct rl_parcel *work)
{
	struct rl_job *job = rl_job_new(&h->shard, work);
	if (!job) {
		rl_parcel_put(work);
		luaL_error(L, "not enough memory");
	}
	lua_settop(L, future);
	struct ljob *l = rl_lua_new(L, sizeof *l, JOB);
	rl_lwait_init(&l->q);
	l->job = job;
	l->number = 0;
	lua_rawseti(L, future, FUTURE_JOB);
	return l;
}

/* The job of the future on top is about to be submitted. */
static struct rl_job *number_job(lua_State *L, struct rl_lua *h, struct ljob *l)
{
	l->number = keep_future(L, h);
	l->job->self = l;
	return l->job;
}

/* submit(shard|false, future, parcel) or submit(shard|false, future, nil, fn, ...) -> future: to
 * one shard, or to any; the future gets the job. Raises what cannot travel. */
static int ljob_submit(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_shard *s = &h->shard;
	lua_Integer to = lua_tointeger(L, 1);
	check_run(L, h);
	if (to < 0 || (size_t)to > s->fleet->size)
		rl_lua_misuse(L, h, "no such shard");
	struct rl_parcel *work = lua_isnil(L, 3)
		? rl_lua_pack_job(L, h, 4, lua_gettop(L) - 3) : rl_parcel_get(rl_lua_check_parcel(L, 3));
	struct rl_job *job = number_job(L, h, add_job(L, h, 2, work));
	if (to > 0)
		rl_job_submit_to(s, job, (unsigned)to - 1);
	else
		rl_job_submit(s, job);
	return 1;
}

/* job_prepare(future, fn, ...) -> future: which gets the job, to be submitted later or never.
 * Raises what cannot travel. */
static int ljob_prepare(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	check_run(L, h);
	add_job(L, h, 1, rl_lua_pack_job(L, h, 2, lua_gettop(L) - 1));
	return 1;
}

/* job_launch(future): submit what was prepared, to any shard */
static int ljob_launch(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	check_run(L, h);
	lua_settop(L, 1);
	lua_rawgeti(L, 1, FUTURE_JOB);
	struct ljob *l = check_job(L, 2);
	lua_settop(L, 1);
	rl_job_submit(&h->shard, number_job(L, h, l));
	return 0;
}

/* job_copy(job) -> fn, ...: copies of what was prepared, for this shard */
static int ljob_copy(lua_State *L)
{
	return rl_lua_unpack(L, rl_lua_of(L), check_job(L, 1)->job->work);
}

/* job_revoke(job) -> true when it has not begun, and never will: its future is settled */
static int ljob_revoke(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct ljob *l = check_job(L, 1);
	bool revoked = l->job && rl_job_revoke(l->job);
	if (revoked) {
		if (l->number > 0) {
			take_future(L, h, l->number);
			lua_pop(L, 1);
		}
		let_go(l);
		rl_waitq_wake(&h->shard, &l->q.side[0], 0, true);
	}
	lua_pushboolean(L, revoked);
	return 1;
}

/* A cancel on its way to the shard that runs the job. */
struct lcancel {
	struct rl_msg msg;
	struct rl_job *job;
	struct rl_parcel *reason;
};

static void cancel_free(struct rl_msg *m)
{
	struct lcancel *c = rl_container(m, struct lcancel, msg);
	rl_job_put(c->job);
	rl_parcel_put(c->reason);
	free(c);
}

static void cancel_deliver(struct rl_shard *s, struct rl_msg *m)
{
	struct lcancel *c = rl_container(m, struct lcancel, msg);
	struct rl_lua *h = s->vm.self;
	lua_State *L = h->main;
	if (atomic_load_explicit(&c->job->state, memory_order_relaxed) == RL_JOB_BEGUN) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, h->cancel_job_ref);
		lua_pushinteger(L, (lua_Integer)c->job->slot + 1);
		lua_pushlightuserdata(L, c->reason);
		rl_lua_run_tell(h, 2);
	}
	cancel_free(m);
}

/* job_cancel(job, reason): to the shard that has begun it */
static int ljob_cancel(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct ljob *l = check_job(L, 1);
	if (!l->job)
		return 0;
	lua_settop(L, 2);
	struct rl_parcel *reason = rl_lua_pack(L, h, 2, 1, "reason");
	struct lcancel *c = malloc(sizeof *c);
	if (!c) {
		rl_parcel_put(reason);
		return luaL_error(L, "not enough memory");
	}
	*c = (struct lcancel){.msg = {.deliver = cancel_deliver, .drop = cancel_free},
		.job = rl_job_get(l->job), .reason = reason};
	rl_fleet_send(&h->shard, atomic_load_explicit(&l->job->runner, memory_order_relaxed), &c->msg);
	return 0;
}

/* job_results(job) -> ok, its results, or its error and traceback; of a job that has ended, once */
static int ljob_results(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct ljob *l = check_job(L, 1);
	struct rl_job *job = l->job;
	int n = 1;
	lua_pushboolean(L, job->ok);
	if (job->results == 1) {
		rl_lua_decode(L, h, &job->result);
		n = 2;
	} else if (job->results == 2) {
		n = 1 + rl_lua_unpack(L, h, job->result.parcel);
	}
	l->job = NULL;
	rl_job_put(job);
	lua_getfield(L, LUA_REGISTRYINDEX, SETTLED);
	lua_setmetatable(L, 1);
	return n;
}

/* job_slot(job) -> the slot of its task, which is the running one */
static int ljob_slot(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)runner_job(L)->slot + 1);
	return 1;
}

/* job_open(job) -> fn, ...: copies, for this shard */
static int ljob_open(lua_State *L)
{
	return rl_lua_unpack(L, rl_lua_of(L), runner_job(L)->work);
}

/* job_end(job, ok, ...): with its results, or its error and traceback. Raises what cannot travel;
 * otherwise the job is not the runner's any more. */
static int ljob_end(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_job *job = runner_job(L);
	int n = lua_gettop(L) - 2;
	if (n == 1 && !lua_isnil(L, 3)) {
		rl_lua_encode(L, h, 3, "job.result", &job->result);
		job->results = 1;
	} else if (n > 0) {
		job->result.parcel = rl_lua_pack(L, h, 3, n, "job.results");
		job->result.kind = RL_VALUE_PARCEL;
		job->results = 2;
	}
	job->ok = lua_toboolean(L, 2);
	rl_job_end(&h->shard, job);
	return 0;
}

/* jobs(run, told, cancel, running): the function that runs a job, (job, slot); what is called with
 * (future, ok) of one that has failed, and nobody waits for, or that has an owner; what is called
 * with (slot, reason's parcel) when one is to be cancelled; the jobs by the slots of their tasks */
static int ljob_hooks(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int *refs[] = {&h->running_ref, &h->cancel_job_ref, &h->told_ref, &h->run_job_ref};
	lua_settop(L, 4);
	for (int i = 0; i < 4; i++) {
		luaL_unref(L, LUA_REGISTRYINDEX, *refs[i]);
		*refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	return 0;
}

/* The job of the future on top comes home to nobody. */
static void forget_future(lua_State *L)
{
	if (!lua_istable(L, -1))
		return;
	lua_rawgeti(L, -1, FUTURE_JOB);
	struct ljob *l = lua_touserdata(L, -1);
	if (l->job)
		l->job->self = NULL;
	lua_pop(L, 1);
}

/* job_futures() -> those that are pending, by number, among numbers; they are forgotten, and so are
 * jobs of theirs that end later */
static int ljob_futures(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->futures_ref);
	for (int i = 1; i <= h->futures_len; i++) {
		lua_rawgeti(L, -1, i);
		forget_future(L);
		lua_pop(L, 1);
	}
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, h->futures_ref);
	h->futures_len = h->futures_free = 0;
	return 1;
}

/* No task can be had for it. */
static void refuse(struct rl_lua *h, struct rl_job *job)
{
	static const char why[] = "too many tasks";
	_Static_assert(sizeof why <= RL_VALUE_TEXT_MAX, "fits a value");
	memcpy(job->result.text, why, sizeof why - 1);
	job->result.len = sizeof why - 1;
	job->result.kind = RL_VALUE_TEXT;
	job->results = 1;
	rl_job_end(&h->shard, job);
}

void rl_lua_job_begin(void *self, struct rl_job *job)
{
	struct rl_lua *h = self;
	lua_State *L = h->main;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->run_job_ref);
	lua_pushlightuserdata(L, job);
	struct rl_task *t = rl_lua_spawn(L, h, 0, 1, RL_LUA_THREADS);
	if (!t) {
		lua_pop(L, 2);
		refuse(h, job);
		return;
	}
	job->slot = t->slot;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->running_ref);
	lua_pushlightuserdata(L, job);
	lua_rawseti(L, -2, (int)t->slot + 1);
	lua_pop(L, 1);
}

void rl_lua_job_ended(void *self, struct rl_job *job)
{
	struct rl_lua *h = self;
	lua_State *L = h->main;
	struct ljob *l = job->self;
	if (!l)
		return;
	take_future(L, h, l->number);
	lua_pushboolean(L, 0);
	lua_rawseti(L, -2, FUTURE_PENDING);
	unsigned waiters = rl_waitq_wake(&h->shard, &l->q.side[0], 0, true);
	lua_rawgeti(L, -1, FUTURE_OWNER);
	bool owned = lua_toboolean(L, -1);
	lua_pop(L, 1);
	if (!owned && (job->ok || waiters > 0)) {
		lua_pop(L, 1);
		return;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->told_ref);
	lua_insert(L, -2);
	lua_pushboolean(L, job->ok);
	rl_lua_run_tell(h, 2);
}

static const luaL_Reg functions[] = {
	{"submit", ljob_submit},
	{"job_prepare", ljob_prepare},
	{"job_launch", ljob_launch},
	{"job_copy", ljob_copy},
	{"job_revoke", ljob_revoke},
	{"job_cancel", ljob_cancel},
	{"job_results", ljob_results},
	{"job_slot", ljob_slot},
	{"job_open", ljob_open},
	{"job_end", ljob_end},
	{"jobs", ljob_hooks},
	{"job_futures", ljob_futures},
	{NULL, NULL},
};

static const luaL_Reg methods[] = {
	{"__gc", ljob_gc},
	{NULL, NULL},
};

void rl_lua_open_job(lua_State *L, struct rl_lua *h)
{
	h->run_job_ref = h->told_ref = h->cancel_job_ref = h->running_ref = LUA_NOREF;
	lua_newtable(L);
	h->futures_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	rl_lua_class(L, h, JOB, methods);
	rl_lua_class(L, h, SETTLED, NULL);
	lua_pop(L, 2);
	rl_lua_register(L, h, functions);
}
