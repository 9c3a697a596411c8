/* SPDX-License-Identifier: MIT */
/*
 * offload: see offload.h.
 *
 * Invariants: a call is in line, on the queue, in one helper's hands, or on its way home; its state
 * says where, and is changed under the pool's lock. While anybody is in line, the calls that wait
 * on the queue and those that run fill it: there are threads_max + queue_max of them, or more for a
 * while after a resize.
 *
 * A submission wakes one idle thread or starts one, if there is one to wake or start, unless one is
 * on its way already; that one, when it is up and has taken a call, wakes the next if more wait. A
 * thread looks at the queue before it rests; one that ends, which takes time that others do not
 * see, has itself replaced if calls wait. So no call waits beside a thread that rests, or beside
 * none, and short calls wake few. The thread that rested last is woken first, so that the others
 * come to their end.
 *
 * The end. Threads are joined, because a module is unmapped when its state closes; an ending thread
 * joins those that ended before, so one at most is left over. A pool is given up on threads of
 * shards, because a call's reference to it is put where the call is home; or, when a helper's state
 * or an argument held the pool, on a thread of its own, which then waits for none. Helpers that do
 * not end in time are abandoned: the code is pinned, the last of them frees the pool.
 */
#define _GNU_SOURCE
#include "rt/offload_pool.h"

#include "base/check.h"
#include "base/err.h"
#include "os/thread.h"
#include "rt/watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct helper {
	struct rl_offload *pool;
	struct rl_list link;      /* on `helpers`, or `ended` */
	struct rl_list rest;      /* on `idle`, or nothing: it has been woken */
	pthread_t id;
	pthread_cond_t woken;
	unsigned number;
	bool coming;              /* it was started or woken, and has not looked at the queue since */
	void *self;               /* the floor above's */
};

static int staff(struct rl_offload *p);

static int64_t clock_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* ---- the queue: with the lock held ----------------------------------------------------------- */

static bool has_room(const struct rl_offload *p)
{
	return p->queued + p->running < p->threads_max + p->queue_max;
}

static void queue_push(struct rl_offload *p, struct rl_call *c)
{
	c->state = CALL_QUEUED;
	rl_list_push(&p->queue, &c->link);
	p->queued++;
}

struct rl_call *rl_offload_pop(struct rl_offload *p)
{
	struct rl_list *l = rl_list_pop(&p->queue);
	if (!l)
		return NULL;
	p->queued--;
	p->running++;
	struct rl_call *c = rl_container(l, struct rl_call, link);
	c->state = CALL_RUNNING;
	return c;
}

void rl_offload_admit(struct rl_offload *p, struct rl_list *told)
{
	while (has_room(p)) {
		struct rl_list *l = rl_list_pop(&p->line);
		if (!l)
			break;
		struct rl_call *c = rl_call_get(rl_container(l, struct rl_call, link));
		p->lined--;
		queue_push(p, c);
		if (c->simulated)
			rl_list_push(told, &c->told);
		else
			rl_call_send(c, &c->room, &c->room_sent);
	}
}

void rl_offload_ended(struct rl_offload *p, struct rl_call *c)
{
	c->state = CALL_ENDED;
	c->helper = NULL;
	p->running--;
	p->done++;
}

void rl_offload_unqueue(struct rl_offload *p, struct rl_call *c, enum rl_call_state state)
{
	rl_list_remove(&c->link);
	p->lined -= c->state == CALL_LINED;
	p->queued -= c->state == CALL_QUEUED;
	c->state = (uint8_t)state;
}

/* ---- helper threads -------------------------------------------------------------------------- */

static unsigned take_number(struct rl_offload *p)
{
	unsigned i = 0;
	while (p->numbers[i] == ~(uint64_t)0)
		i++;
	unsigned bit = (unsigned)__builtin_ctzll(~p->numbers[i]);
	p->numbers[i] |= (uint64_t)1 << bit;
	return i * 64 + bit + 1;
}

static void give_number(struct rl_offload *p, unsigned number)
{
	p->numbers[(number - 1) / 64] &= ~((uint64_t)1 << (number - 1) % 64);
}

/* Join what has ended: such a thread does not take the lock any more. Lock held. */
static void join_ended(struct rl_offload *p)
{
	for (struct rl_list *l = rl_list_pop(&p->ended); l; l = rl_list_pop(&p->ended)) {
		struct helper *t = rl_container(l, struct helper, link);
		pthread_join(t->id, NULL);
		pthread_cond_destroy(&t->woken);
		free(t);
	}
}

static void wake_helper(struct rl_offload *p, struct helper *t)
{
	rl_list_remove(&t->rest);
	p->idle_len--;
	t->coming = true;
	p->coming++;
	pthread_cond_signal(&t->woken);
}

static bool is_surplus(const struct rl_offload *p)
{
	return p->closing || p->live - p->ending > p->threads_max;
}

/* Until there may be a call. False: it is time to end. Lock held. */
static bool rest(struct rl_offload *p, struct helper *t)
{
	struct timespec until = timespec_of(clock_now() + p->idle_ns);
	int err = 0;
	rl_list_push_front(&p->idle, &t->rest);
	p->idle_len++;
	while (!rl_list_empty(&t->rest) && err == 0)
		err = pthread_cond_timedwait(&t->woken, &p->lock, &until);
	if (rl_list_empty(&t->rest))
		return true;
	rl_list_remove(&t->rest);
	p->idle_len--;
	return p->live - p->ending <= p->threads_min;
}

/* Run a call, take the next one, send the first home. Called and left with the lock held. */
static struct rl_call *run_call(struct rl_offload *p, struct helper *t, struct rl_call *c)
{
	struct rl_list told;
	rl_list_init(&told);
	c->helper = t;
	pthread_mutex_unlock(&p->lock);
	p->vm->run(p->arg, &t->self, c);
	pthread_mutex_lock(&p->lock);
	rl_offload_ended(p, c);
	rl_offload_admit(p, &told);
	struct rl_call *next = is_surplus(p) ? NULL : rl_offload_pop(p);
	pthread_mutex_unlock(&p->lock);
	rl_call_send(c, &c->work, &c->work_sent);
	pthread_mutex_lock(&p->lock);
	return next;
}

static void offload_free_memory(struct rl_offload *p)
{
	p->vm->free(p->arg);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* All that wait come home with a code. Lock held; `closed` is for send_closed. */
static void fail_waiting(struct rl_offload *p, int err, struct rl_list *closed)
{
	struct rl_list *from[] = {&p->queue, &p->line};
	for (int i = 0; i < 2; i++) {
		for (struct rl_list *l = rl_list_first(from[i]); l; l = rl_list_first(from[i])) {
			struct rl_call *c = rl_container(l, struct rl_call, link);
			c->err = err;
			rl_offload_unqueue(p, c, CALL_ENDED);
			rl_list_push(closed, &c->link);
		}
	}
}

static void send_closed(struct rl_shard *s, struct rl_list *closed)
{
	for (struct rl_list *l = rl_list_pop(closed); l; l = rl_list_pop(closed)) {
		struct rl_call *c = rl_container(l, struct rl_call, link);
		if (c->simulated)
			rl_call_bring(s, rl_call_get(c));
		else
			rl_call_send(c, &c->work, &c->work_sent);
	}
}

/* A thread begins to end, or has ended: calls that were left to it need another one. Without any,
 * they fail. Lock held. */
static void replace_helper(struct rl_offload *p, struct rl_list *closed)
{
	int err = p->queued > 0 ? staff(p) : 0;
	if (err < 0)
		fail_waiting(p, err, closed);
}

/* Lock held; returns with it released. */
static void helper_end(struct rl_offload *p, struct helper *t)
{
	struct rl_list closed;
	rl_list_init(&closed);
	p->ending++;
	replace_helper(p, &closed);
	pthread_mutex_unlock(&p->lock);
	if (t->self)
		p->vm->end(t->self);
	pthread_mutex_lock(&p->lock);
	join_ended(p);
	rl_list_remove(&t->link);
	give_number(p, t->number);
	p->ending--;
	p->live--;
	replace_helper(p, &closed);
	send_closed(NULL, &closed);
	if (!p->abandoned)
		rl_list_push(&p->ended, &t->link);
	bool frees = p->orphaned && p->live == 0, alone = p->abandoned;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (alone) {
		pthread_cond_destroy(&t->woken);
		free(t);
	}
	if (frees)
		offload_free_memory(p);
}

/* It is up: what else waits is for the next one. Lock held. */
static void arrived(struct rl_offload *p, struct helper *t)
{
	p->coming -= t->coming;
	t->coming = false;
	if (p->queued > 0)
		staff(p);
}

static void *helper_main(void *arg)
{
	struct helper *t = arg;
	struct rl_offload *p = t->pool;
	char name[16];
	snprintf(name, sizeof name, "ringlet-off-%u", t->number % 1000);
	pthread_setname_np(pthread_self(), name);
	rl_watch_hear();
	pthread_mutex_lock(&p->lock);
	do {
		struct rl_call *c = is_surplus(p) ? NULL : rl_offload_pop(p);
		arrived(p, t);
		while (c)
			c = run_call(p, t, c);
	} while (!is_surplus(p) && (p->queued > 0 || rest(p, t)));
	helper_end(p, t);
	return NULL;
}

static void init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/* One more thread; it hears no signal but SIGURG, see rl_watch_lend. Lock held. */
static int start_helper(struct rl_offload *p)
{
	sigset_t block, before;
	join_ended(p);
	struct helper *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->pool = p;
	t->number = take_number(p);
	rl_list_init(&t->rest);
	init_cond(&t->woken);
	sigfillset(&block);
	pthread_sigmask(SIG_SETMASK, &block, &before);
	int err = pthread_create(&t->id, NULL, helper_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0) {
		give_number(p, t->number);
		pthread_cond_destroy(&t->woken);
		free(t);
		return -err;
	}
	rl_list_push(&p->helpers, &t->link);
	t->coming = true;
	p->coming++;
	p->live++;
	p->peak = p->live > p->peak ? p->live : p->peak;
	return 0;
}

/* Somebody for the calls on the queue. Fails only when nobody is there at all. Lock held. */
static int staff(struct rl_offload *p)
{
	int err = 0;
	if (p->coming > 0)
		return 0;
	if (!rl_list_empty(&p->idle))
		wake_helper(p, rl_container(rl_list_first(&p->idle), struct helper, rest));
	else if (p->live < p->threads_max)
		err = start_helper(p);
	return p->live > 0 ? 0 : err;
}

int rl_offload_enqueue(struct rl_offload *p, struct rl_call *c, bool lines)
{
	if (p->closing)
		return -RL_ECLOSED;
	if (p->lined > 0 || !has_room(p)) {
		if (!lines)
			return -EAGAIN;
		c->state = CALL_LINED;
		rl_list_push(&p->line, &c->link);
		p->lined++;
		return 1;
	}
	queue_push(p, c);
	int err = c->simulated ? 0 : staff(p);
	if (err < 0)
		rl_offload_unqueue(p, c, CALL_NEW);
	return err;
}

void rl_offload_interrupt(struct rl_offload *p, const struct rl_call *c)
{
	pthread_mutex_lock(&p->lock);
	if (c->helper)
		pthread_kill(c->helper->id, SIGURG);
	pthread_mutex_unlock(&p->lock);
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* Is this one of the pool's own threads? Its state, or a call's arguments, may hold the pool. */
static bool is_inside(struct rl_offload *p)
{
	bool inside = false;
	pthread_mutex_lock(&p->lock);
	for (struct rl_list *l = p->helpers.next; l != &p->helpers; l = l->next)
		inside |= pthread_equal(rl_container(l, struct helper, link)->id, pthread_self()) != 0;
	pthread_mutex_unlock(&p->lock);
	return inside;
}

static void offload_free(struct rl_shared *o)
{
	struct rl_offload *p = rl_container(o, struct rl_offload, shared);
	if (p->home != getpid())
		return;
	rl_offload_close(p, is_inside(p) ? 0 : clock_now() + RL_OFFLOAD_END_NS);
	pthread_mutex_lock(&p->lock);
	p->orphaned = true;
	bool frees = p->live == 0;
	pthread_mutex_unlock(&p->lock);
	if (frees)
		offload_free_memory(p);
}

const struct rl_shared_class rl_offload_class = {"ringlet.offload_pool", offload_free};

struct rl_offload *rl_offload_new(const struct rl_offload_config *config)
{
	struct rl_offload *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	RL_ASSERT(config->threads_max > 0 && config->threads_max <= RL_OFFLOAD_THREADS_MAX);
	rl_shared_init(&p->shared, &rl_offload_class);
	p->vm = config->vm;
	p->arg = config->arg;
	p->home = getpid();
	p->idle_ns = config->idle_ns;
	p->threads_min = config->threads_min;
	p->threads_max = config->threads_max;
	p->queue_max = config->queue_max;
	snprintf(p->name, sizeof p->name, "%s", config->name ? config->name : "");
	pthread_mutex_init(&p->lock, NULL);
	init_cond(&p->changed);
	rl_list_init(&p->line);
	rl_list_init(&p->queue);
	rl_list_init(&p->helpers);
	rl_list_init(&p->idle);
	rl_list_init(&p->ended);
	return p;
}

struct rl_shared *rl_offload_shared(struct rl_offload *p)
{
	return &p->shared;
}

struct rl_offload *rl_offload_of(struct rl_shared *o)
{
	return o && o->class == &rl_offload_class ? rl_container(o, struct rl_offload, shared) : NULL;
}

const char *rl_offload_name(const struct rl_offload *p)
{
	return p->name;
}

void rl_offload_stats(struct rl_offload *p, struct rl_offload_stats *out)
{
	pthread_mutex_lock(&p->lock);
	*out = (struct rl_offload_stats){
		/* Simulated, there are as many as run. */
		.threads = p->live > p->running ? p->live : p->running, .idle = p->idle_len,
		.threads_max = p->threads_max, .queue_max = p->queue_max, .queued = p->queued,
		.lined = p->lined, .running = p->running, .peak = p->peak, .done = p->done,
	};
	pthread_mutex_unlock(&p->lock);
}

static void wake_all_helpers(struct rl_offload *p)
{
	while (!rl_list_empty(&p->idle))
		wake_helper(p, rl_container(rl_list_first(&p->idle), struct helper, rest));
}

void rl_offload_resize(struct rl_offload *p, struct rl_shard *s, unsigned threads_max)
{
	struct rl_list told;
	bool simulated = s->os && s->os->closed_world;
	rl_list_init(&told);
	pthread_mutex_lock(&p->lock);
	p->threads_max = threads_max;
	rl_offload_admit(p, &told);
	if (p->queued > 0 && !simulated)
		staff(p);
	if (p->live > threads_max)
		wake_all_helpers(p);
	pthread_mutex_unlock(&p->lock);
	rl_call_tell(s, &told);
	if (simulated)
		rl_call_next(p, s);
}

void rl_offload_shut(struct rl_offload *p, struct rl_shard *s)
{
	struct rl_list closed;
	rl_list_init(&closed);
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	fail_waiting(p, -RL_ECLOSED, &closed);
	wake_all_helpers(p);
	pthread_mutex_unlock(&p->lock);
	send_closed(s, &closed);
}

/* Let go of the helpers that do not end. Lock held. */
static void abandon(struct rl_offload *p)
{
	p->abandoned = true;
	for (struct rl_list *l = p->helpers.next; l != &p->helpers; l = l->next)
		pthread_detach(rl_container(l, struct helper, link)->id);
	rl_thread_pin_code();
}

int rl_offload_close(struct rl_offload *p, int64_t deadline_ns)
{
	struct timespec until = timespec_of(deadline_ns);
	int err = 0;
	if (p->home != getpid())
		return -EPERM;
	rl_offload_shut(p, NULL);
	pthread_mutex_lock(&p->lock);
	while (p->live > 0 && err == 0 && !p->abandoned)
		err = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	join_ended(p);
	bool busy = p->live > 0;
	if (busy && !p->abandoned)
		abandon(p);
	pthread_mutex_unlock(&p->lock);
	if (p->inlined)
		p->vm->end(p->inlined);
	p->inlined = NULL;
	return busy ? -EBUSY : 0;
}
