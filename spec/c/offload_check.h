/* SPDX-License-Identifier: MIT */
/*
 * What the tests of offload share: a seam that knows nothing but arrivals, so that they need no
 * io_uring; a pool whose calls count, and block at a gate if they have one; calls that remember.
 */
#ifndef RL_SPEC_OFFLOAD_CHECK_H
#define RL_SPEC_OFFLOAD_CHECK_H

#include "check.h"

#include "base/err.h"
#include "rt/call.h"
#include "rt/offload.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL
#define FOR_EVER (3600 * 1000 * MS) /* idle threads do not end, however slow the test is */
#define PATIENCE_NS (20000 * MS)

enum { DEAF = -1 };

/* A shard on such a seam. */
struct dock {
	struct rl_os os;
	struct rl_shard shard;
	struct rl_port *port;
	pthread_mutex_t lock;
	struct rl_list arrived;
	bool closed;              /* nothing may arrive any more */
};

struct item {
	struct rl_call *call;
	atomic_int *gate;         /* runs until it is 1; or cancelled, unless it is DEAF */
	atomic_int runs;
	int admissions, homes, order;
	bool signals;             /* all are blocked where it ran, but for SIGURG */
	unsigned long thread;
};

static atomic_int running, running_max, states, states_ended, pools_freed;
static atomic_int ends_begun, end_gate; /* while the gate is 1 no thread gets further in its end */
static int homes;

static inline int64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static inline void dock_arrive(struct rl_os *os, struct rl_work *w)
{
	struct dock *d = rl_container(os, struct dock, os);
	pthread_mutex_lock(&d->lock);
	CHECK(!d->closed);
	rl_list_init(&w->link);
	rl_list_push(&d->arrived, &w->link);
	pthread_mutex_unlock(&d->lock);
}

static const struct rl_os_ops dock_ops = {.name = "dock", .arrive = dock_arrive};

static inline void dock_open(struct dock *d)
{
	*d = (struct dock){.os = {.ops = &dock_ops}};
	d->shard.os = &d->os;
	pthread_mutex_init(&d->lock, NULL);
	rl_list_init(&d->arrived);
	d->port = rl_port_new(&d->shard);
}

static inline unsigned dock_reap(struct dock *d)
{
	struct rl_list works;
	unsigned n = 0;
	rl_list_init(&works);
	pthread_mutex_lock(&d->lock);
	rl_list_take(&works, &d->arrived);
	pthread_mutex_unlock(&d->lock);
	for (struct rl_list *l = rl_list_pop(&works); l; l = rl_list_pop(&works), n++) {
		struct rl_work *w = rl_container(l, struct rl_work, link);
		w->done(w);
	}
	return n;
}

static inline void dock_close(struct dock *d)
{
	rl_port_close(d->port);
	CHECK_EQ(d->os.works, 0);
	d->closed = true;
}

/* Reap until the fact holds, or patience ends. */
#define DOCK_UNTIL(d, fact) \
	do { \
		int64_t limit_ = clock_ns() + PATIENCE_NS; \
		while (!(fact) && clock_ns() < limit_) \
			if (dock_reap(d) == 0) \
				sched_yield(); \
		CHECK(fact); \
	} while (0)

#define AWAIT(fact) \
	do { \
		int64_t limit_ = clock_ns() + PATIENCE_NS; \
		while (!(fact) && clock_ns() < limit_) \
			sched_yield(); \
		CHECK(fact); \
	} while (0)

static inline void pool_run(void *arg, void **self, struct rl_call *c)
{
	struct item *i = c->owner;
	sigset_t set;
	(void)arg;
	if (!*self) {
		*self = calloc(1, 1);
		atomic_fetch_add(&states, 1);
	}
	int now = atomic_fetch_add(&running, 1) + 1;
	if (now > atomic_load(&running_max))
		atomic_store(&running_max, now);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	i->signals = sigismember(&set, SIGINT) && sigismember(&set, SIGALRM)
		&& !sigismember(&set, SIGURG);
	i->thread = (unsigned long)pthread_self();
	while (i->gate && atomic_load(i->gate) != 1
		&& (atomic_load(i->gate) == DEAF || !atomic_load(&c->cancelled)))
		sched_yield();
	c->ok = true;
	atomic_fetch_sub(&running, 1);
	atomic_fetch_add(&i->runs, 1);
}

static inline void pool_end(void *self)
{
	atomic_fetch_add(&ends_begun, 1);
	while (atomic_load(&end_gate) == 1)
		sched_yield();
	atomic_fetch_add(&states_ended, 1);
	free(self);
}

static inline void pool_freed(void *arg)
{
	(void)arg;
	atomic_fetch_add(&pools_freed, 1);
}

static const struct rl_offload_vm pool_vm = {
	.run = pool_run, .end = pool_end, .free = pool_freed,
};

static inline struct rl_offload *pool_open(unsigned threads, unsigned queue, int64_t idle_ns)
{
	struct rl_offload_config config = {
		.threads_max = threads, .queue_max = queue, .idle_ns = idle_ns, .name = "test",
		.vm = &pool_vm,
	};
	atomic_store(&running_max, 0);
	atomic_store(&states, 0);
	atomic_store(&states_ended, 0);
	atomic_store(&pools_freed, 0);
	homes = 0;
	return rl_offload_new(&config);
}

static inline void pool_put(struct rl_offload *p)
{
	rl_shared_put(rl_offload_shared(p));
	AWAIT(atomic_load(&pools_freed) == 1); /* by its last thread, if that took long to end */
	CHECK_EQ(atomic_load(&states), atomic_load(&states_ended));
}

static inline struct rl_offload_stats stats_of(struct rl_offload *p)
{
	struct rl_offload_stats s;
	rl_offload_stats(p, &s);
	return s;
}

static inline void on_admitted(struct rl_call *c)
{
	((struct item *)c->owner)->admissions++;
}

static inline void on_home(struct rl_call *c)
{
	struct item *i = c->owner;
	i->homes++;
	i->order = ++homes;
}

static inline int item_submit(struct item *i, struct dock *d, struct rl_offload *p, bool lines,
	atomic_int *gate)
{
	*i = (struct item){.call = rl_call_new(d->port, rl_parcel_new(0, 0)), .gate = gate};
	i->call->owner = i;
	i->call->admitted = on_admitted;
	i->call->home = on_home;
	return rl_call_submit(i->call, p, lines);
}

static inline void item_put(struct item *i)
{
	rl_call_put(i->call);
	i->call = NULL;
}

#endif
