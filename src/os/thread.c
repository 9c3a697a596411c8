/* SPDX-License-Identifier: MIT */
/*
 * thread: see thread.h. One mutex guards everything in struct rl_threads but `notify` and `arg`,
 * which do not change.
 *
 * Invariants: a work is on `queue`, or in one thread's hands, or on `completed`. `live` counts the
 * slots that are RUNNING; a slot that is ENDED is joined before it is used again. Threads are
 * joined and not detached, because a Lua module is unmapped when its state closes and no thread may
 * be in its code then. A thread that cannot be joined in time is *abandoned*: the module is pinned,
 * the last such thread frees the pool, and nobody is notified any more.
 */
#define _GNU_SOURCE
#include "os/thread.h"

#include "base/check.h"
#include "base/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum thread_state { THREAD_NONE, THREAD_RUNNING, THREAD_ENDED };

struct thread_slot {
	struct rl_threads *pool;
	pthread_t id;
	enum thread_state state;
};

struct rl_threads {
	pthread_mutex_t lock;
	pthread_cond_t posted; /* work was queued, or closing */
	pthread_cond_t ended;  /* a thread ended */
	struct rl_list queue, completed;
	unsigned queued, idle, live;
	bool closing, abandoned;
	void (*notify)(void *arg);
	void *arg;
	struct thread_slot slots[RL_THREAD_MAX];
};

static struct timespec thread_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

static int64_t thread_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void thread_free(struct rl_threads *t)
{
	pthread_cond_destroy(&t->ended);
	pthread_cond_destroy(&t->posted);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* The next work, or NULL when this thread shall end. Called and left with the lock held. */
static struct rl_work *thread_take(struct rl_threads *t)
{
	struct timespec until = thread_timespec(thread_now() + RL_THREAD_IDLE_NS);
	int err = 0;
	while (t->queued == 0 && !t->closing && err == 0) {
		t->idle++;
		err = pthread_cond_timedwait(&t->posted, &t->lock, &until);
		t->idle--;
	}
	if (t->queued == 0 || t->closing)
		return NULL;
	t->queued--;
	return rl_container(rl_list_pop(&t->queue), struct rl_work, link);
}

static void thread_run(struct rl_threads *t, struct rl_work *w)
{
	pthread_mutex_unlock(&t->lock);
	w->fn(w);
	pthread_mutex_lock(&t->lock);
	if (t->abandoned)
		return;
	rl_list_push(&t->completed, &w->link);
	/* Under the lock, so that after rl_thread_close nobody calls it. */
	t->notify(t->arg);
}

static void *thread_main(void *arg)
{
	struct thread_slot *slot = arg;
	struct rl_threads *t = slot->pool;
	pthread_mutex_lock(&t->lock);
	for (struct rl_work *w = thread_take(t); w; w = thread_take(t))
		thread_run(t, w);
	slot->state = THREAD_ENDED;
	t->live--;
	bool last = t->abandoned && t->live == 0;
	pthread_cond_signal(&t->ended);
	pthread_mutex_unlock(&t->lock);
	if (last)
		thread_free(t);
	return NULL;
}

static void thread_join(struct thread_slot *slot)
{
	if (slot->state != THREAD_ENDED)
		return;
	pthread_join(slot->id, NULL);
	slot->state = THREAD_NONE;
}

/* Start one more thread; signals stay with the threads that Lua runs on. Lock held. */
static int thread_start(struct rl_threads *t)
{
	struct thread_slot *slot = t->slots;
	while (slot->state == THREAD_RUNNING)
		slot++;
	thread_join(slot);
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int err = pthread_create(&slot->id, NULL, thread_main, slot);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0)
		return -err;
	pthread_setname_np(slot->id, "ringlet-helper");
	slot->state = THREAD_RUNNING;
	t->live++;
	return 0;
}

struct rl_threads *rl_thread_open(void (*notify)(void *arg), void *arg)
{
	struct rl_threads *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->posted, &attr);
	pthread_cond_init(&t->ended, &attr);
	pthread_condattr_destroy(&attr);
	rl_list_init(&t->queue);
	rl_list_init(&t->completed);
	t->notify = notify;
	t->arg = arg;
	for (unsigned i = 0; i < RL_THREAD_MAX; i++)
		t->slots[i].pool = t;
	return t;
}

int rl_thread_post(struct rl_threads *t, struct rl_work *w)
{
	int err = 0;
	pthread_mutex_lock(&t->lock);
	RL_ASSERT(!t->closing);
	/* An idle thread that was signalled but has not run yet still counts, as does its work. */
	if (t->queued >= t->idle && t->live < RL_THREAD_MAX)
		err = thread_start(t);
	if (err == 0 || t->live > 0) {
		err = 0;
		rl_list_init(&w->link);
		rl_list_push(&t->queue, &w->link);
		t->queued++;
		pthread_cond_signal(&t->posted);
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

void rl_thread_reap(struct rl_threads *t, struct rl_list *out)
{
	pthread_mutex_lock(&t->lock);
	for (struct rl_list *n = rl_list_pop(&t->completed); n; n = rl_list_pop(&t->completed))
		rl_list_push(out, n);
	pthread_mutex_unlock(&t->lock);
}

unsigned rl_thread_count(struct rl_threads *t)
{
	pthread_mutex_lock(&t->lock);
	unsigned n = t->live;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void rl_thread_pin_code(void)
{
	Dl_info info;
	if (dladdr((void *)rl_thread_pin_code, &info) != 0 && info.dli_fname)
		dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* Let go of the threads that are stuck. Lock held. */
static void thread_abandon(struct rl_threads *t)
{
	t->abandoned = true;
	for (unsigned i = 0; i < RL_THREAD_MAX; i++)
		if (t->slots[i].state == THREAD_RUNNING)
			pthread_detach(t->slots[i].id);
	rl_thread_pin_code();
}

int rl_thread_close(struct rl_threads *t, int64_t deadline_ns)
{
	if (!t)
		return 0;
	struct timespec until = thread_timespec(deadline_ns);
	int err = 0;
	pthread_mutex_lock(&t->lock);
	t->closing = true;
	pthread_cond_broadcast(&t->posted);
	while (t->live > 0 && err == 0)
		err = pthread_cond_timedwait(&t->ended, &t->lock, &until);
	for (unsigned i = 0; i < RL_THREAD_MAX; i++)
		thread_join(&t->slots[i]);
	bool busy = t->live > 0;
	if (busy)
		thread_abandon(t);
	pthread_mutex_unlock(&t->lock);
	if (busy)
		return -EBUSY;
	thread_free(t);
	return 0;
}
