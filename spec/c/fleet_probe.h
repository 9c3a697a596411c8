/* SPDX-License-Identifier: MIT */
/*
 * Shards of one fleet whose tasks are C callbacks, each on a thread of its own or turned by hand.
 * Their kernel is a condition variable and the clock: there is nothing to wait for but each other,
 * deadlines, and bells.
 */
#ifndef RL_SPEC_FLEET_PROBE_H
#define RL_SPEC_FLEET_PROBE_H

#include "check.h"

#include "base/err.h"
#include "rt/fleet.h"
#include "rt/ticket.h"
#include "rt/wait.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define MEMBERS_MAX 8

struct member {
	struct rl_shard shard;
	struct rl_os os;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken;
	/* What a task does when it is run, and what it is told of a waiter that came home. */
	enum rl_ran (*step)(struct member *m, struct rl_task *t);
	void (*arrived)(struct member *m, struct rl_task *t, struct rl_waiter *w);
	struct rl_msg leave;
	pthread_t thread;
	unsigned index;
	uint64_t seed;
	volatile sig_atomic_t brk;
	int end;
};

struct members {
	struct rl_fleet *fleet;
	unsigned size;
	struct member at[MEMBERS_MAX];
};

static inline struct member *member_of(struct rl_os *os)
{
	return rl_container(os, struct member, os);
}

static inline int64_t member_now(struct rl_os *os)
{
	struct timespec ts;
	(void)os;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline int member_poll(struct rl_os *os, int64_t deadline_ns)
{
	struct member *m = member_of(os);
	struct timespec ts = {deadline_ns / 1000000000, deadline_ns % 1000000000};
	pthread_mutex_lock(&m->lock);
	while (!m->woken && deadline_ns != 0) {
		if (deadline_ns < 0)
			pthread_cond_wait(&m->cond, &m->lock);
		else if (pthread_cond_timedwait(&m->cond, &m->lock, &ts) != 0)
			break;
	}
	m->woken = false;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static inline void member_wake(struct rl_os *os)
{
	struct member *m = member_of(os);
	pthread_mutex_lock(&m->lock);
	m->woken = true;
	pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

static inline void member_bell(struct rl_os *os, struct rl_os *to)
{
	(void)os;
	member_wake(to);
}

static inline bool member_ready(struct rl_os *os)
{
	(void)os;
	return false;
}

static inline uint64_t member_random(struct rl_os *os)
{
	struct member *m = member_of(os);
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed;
}

static inline int member_close(struct rl_os *os)
{
	(void)os;
	return 0;
}

static inline enum rl_ran member_run(void *self, struct rl_task *t)
{
	struct member *m = self;
	t->state = RL_TASK_RUNNING;
	return m->step(m, t);
}

static inline bool member_idle(void *self)
{
	(void)self;
	return false;
}

static inline void member_preempt(void *self)
{
	(void)self;
}

static inline void member_arrived(void *self, struct rl_task *t, struct rl_waiter *w)
{
	struct member *m = self;
	if (m->arrived)
		m->arrived(m, t, w);
	rl_waiter_free(&m->shard, w);
}

static inline void member_leave(struct rl_shard *s, struct rl_msg *msg)
{
	(void)msg;
	s->closing = true;
}

static inline void member_never(struct rl_msg *msg)
{
	(void)msg;
}

static inline void member_open(struct members *all, unsigned i)
{
	static const struct rl_os_ops ops = {
		.name = "probe", .close = member_close, .poll = member_poll, .ready = member_ready,
		.wake = member_wake, .bell = member_bell, .now = member_now, .random = member_random,
	};
	struct member *m = &all->at[i];
	struct rl_vm vm = {
		.run = member_run, .idle = member_idle, .preempt = member_preempt,
		.arrived = member_arrived, .self = m,
	};
	pthread_condattr_t clock;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->cond, &clock);
	pthread_condattr_destroy(&clock);
	m->index = i;
	m->seed = 88172645463325252ULL + i;
	m->leave.deliver = member_leave;
	m->leave.drop = member_never;
	CHECK_EQ(rl_shard_init(&m->shard, &vm), 0);
	m->os.ops = &ops;
	m->shard.os = &m->os;
	m->shard.now_ns = member_now(&m->os);
	m->shard.deadlines = rl_wheel_new(m->shard.now_ns);
	m->shard.alarms = rl_wheel_new(m->shard.now_ns);
	rl_fleet_join(all->fleet, i, &m->shard);
}

/* Shards that are turned by hand, or run by members_run. */
static inline void members_open(struct members *all, unsigned size,
	enum rl_ran (*step)(struct member *, struct rl_task *))
{
	memset(all, 0, sizeof *all);
	all->size = size;
	all->fleet = rl_fleet_new(size);
	for (unsigned i = 0; i < size; i++) {
		all->at[i].step = step;
		member_open(all, i);
	}
}

static inline void members_close(struct members *all)
{
	for (unsigned i = 0; i < all->size; i++)
		rl_fleet_leave(&all->at[i].shard);
	for (unsigned i = 0; i < all->size; i++) {
		struct member *m = &all->at[i];
		rl_shard_term(&m->shard);
		pthread_mutex_destroy(&m->lock);
		pthread_cond_destroy(&m->cond);
	}
	rl_fleet_free(all->fleet);
}

static inline void *member_loop(void *arg)
{
	struct member *m = arg;
	m->end = rl_shard_loop(&m->shard, &m->brk);
	return NULL;
}

/* Run the tasks made so far, each shard on a thread of its own, until all have ended. */
static inline void members_run(struct members *all)
{
	struct member *first = &all->at[0];
	for (unsigned i = 1; i < all->size; i++)
		pthread_create(&all->at[i].thread, NULL, member_loop, &all->at[i]);
	member_loop(first);
	CHECK_EQ(first->end, RL_LOOP_DONE);
	for (unsigned i = 1; i < all->size; i++)
		rl_fleet_send(&first->shard, i, &all->at[i].leave);
	for (unsigned i = 1; i < all->size; i++)
		pthread_join(all->at[i].thread, NULL);
	for (unsigned i = 0; i < all->size; i++)
		CHECK_EQ(all->at[i].shard.live, 0);
}

#endif
