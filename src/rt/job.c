/* SPDX-License-Identifier: MIT */
/*
 * job: see job.h.
 *
 * A shard takes the newest of its own deque, so that what it works on is what it has just
 * prepared; every RL_JOB_FAIR turns its oldest, and every RL_JOB_FAIR turns, or when its own deque
 * is empty, the oldest injected one; when there is none either, that of another shard, of
 * RL_STEAL_TRIES drawn at random. A thief that finds many takes several, each by its own
 * compare-and-swap, into its own deque, where others can steal them again.
 *
 * A job that finds the deque full goes into the injection queue, which is everybody's; without
 * stealing, to its own shard's `spilt`, for it is nobody else's to begin.
 *
 * Invariant: a job that has not begun is in one deque, in the injection queue, spilt, or in a
 * message to the shard it is for. The state is changed from QUEUED once, by who begins it or by
 * who revokes it; a revoked one stays where it is until somebody takes it and drops it.
 */
#include "rt/job.h"

#include "base/check.h"
#include "base/err.h"
#include "rt/trace.h"

#include <stdlib.h>

#ifndef RL_JOB_FAIR
#define RL_JOB_FAIR 61
#endif
#define RL_STEAL_TRIES 3
#define RL_STEAL_MAX 8 /* in a row */
#define RL_JOBS_WAIT_NS 200000 /* how long jobs may have to wait here before another is woken */

/* False: it was revoked, and is gone. */
static bool job_begin(struct rl_shard *s, struct rl_job *job, bool stolen)
{
	uint32_t state = RL_JOB_QUEUED;
	atomic_store_explicit(&job->runner, s->index, memory_order_relaxed); /* by the swap */
	if (!atomic_compare_exchange_strong_explicit(&job->state, &state, RL_JOB_BEGUN,
			memory_order_acq_rel, memory_order_acquire)) {
		rl_job_put(job);
		return false;
	}
	rl_fleet_count(&rl_fleet_seat(s)->started);
	rl_traced_job(s, job->origin, stolen);
	s->vm.job_begin(s->vm.self, job);
	return true;
}

static void deliver_here(struct rl_shard *s, struct rl_msg *m)
{
	job_begin(s, rl_container(m, struct rl_job, msg), false);
}

static void deliver_end(struct rl_shard *s, struct rl_msg *m)
{
	struct rl_job *job = rl_container(m, struct rl_job, msg);
	s->vm.job_ended(s->vm.self, job);
	rl_job_put(job);
}

static void drop(struct rl_msg *m)
{
	rl_job_put(rl_container(m, struct rl_job, msg));
}

struct rl_job *rl_job_new(struct rl_shard *s, struct rl_parcel *work)
{
	struct rl_job *job = calloc(1, sizeof *job);
	if (!job)
		return NULL;
	job->msg.drop = drop;
	rl_list_init(&job->link);
	atomic_init(&job->refs, 2);
	atomic_init(&job->state, RL_JOB_QUEUED);
	job->origin = s->index;
	job->work = work;
	return job;
}

struct rl_job *rl_job_get(struct rl_job *job)
{
	atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
	return job;
}

void rl_job_put(struct rl_job *job)
{
	/* Pairs with itself: the last sees what the other has done. */
	if (atomic_fetch_sub_explicit(&job->refs, 1, memory_order_acq_rel) > 1)
		return;
	rl_parcel_put(job->work);
	rl_value_drop(&job->result);
	free(job);
}

static void inject(struct rl_fleet *f, struct rl_job *job)
{
	pthread_mutex_lock(&f->lock);
	rl_list_push(&f->injected, &job->link);
	atomic_fetch_add_explicit(&f->injected_len, 1, memory_order_relaxed);
	pthread_mutex_unlock(&f->lock);
}

/* How long a job waits here for those before it: from how many have gone since the clock was looked
 * at last, to whomever. */
static void reckon(const struct rl_shard *s, struct rl_seat *own)
{
	uint64_t gone = own->pushed - rl_deque_len(&own->jobs);
	if (s->now_ns == own->clock_ns || gone <= own->clock_gone)
		return;
	int64_t each_ns = (s->now_ns - own->clock_ns) / (int64_t)(gone - own->clock_gone);
	own->job_ns += (each_ns - own->job_ns) / 4;
	own->clock_ns = s->now_ns;
	own->clock_gone = gone;
}

/* Is there more to do here than another shard takes to wake up, and would then have to do? What a
 * job takes is known from those before; the watchdog sees to it that one which takes much longer
 * does not keep others waiting. */
static bool is_too_much(const struct rl_shard *s, struct rl_seat *own)
{
	reckon(s, own);
	return !s->fleet->watched || rl_deque_len(&own->jobs) * own->job_ns >= RL_JOBS_WAIT_NS;
}

void rl_job_submit(struct rl_shard *s, struct rl_job *job)
{
	struct rl_seat *own = rl_fleet_seat(s);
	bool pushed = rl_deque_push(&own->jobs, job);
	own->pushed += pushed;
	if (!s->fleet->stealing) {
		if (!pushed)
			rl_list_push(&own->spilt, &job->link);
		return;
	}
	if (!pushed)
		inject(s->fleet, job);
	if (is_too_much(s, own))
		rl_fleet_wake_one(s);
}

void rl_job_submit_to(struct rl_shard *s, struct rl_job *job, unsigned to)
{
	job->msg.deliver = deliver_here;
	rl_fleet_send(s, to, &job->msg);
}

bool rl_job_revoke(struct rl_job *job)
{
	uint32_t state = RL_JOB_QUEUED;
	/* If not, it pairs with the swap of who began it: `runner` is known. */
	return atomic_compare_exchange_strong_explicit(&job->state, &state, RL_JOB_CANCELLED,
		memory_order_acq_rel, memory_order_acquire);
}

void rl_job_end(struct rl_shard *s, struct rl_job *job)
{
	RL_ASSERT(atomic_load_explicit(&job->state, memory_order_relaxed) == RL_JOB_BEGUN);
	/* Pairs with nothing: the message that brings it home is what publishes the result. */
	atomic_store_explicit(&job->state, RL_JOB_ENDED, memory_order_relaxed);
	job->msg.deliver = deliver_end;
	rl_fleet_send(s, job->origin, &job->msg);
}

static struct rl_job *take_injected(struct rl_fleet *f)
{
	if (atomic_load_explicit(&f->injected_len, memory_order_relaxed) == 0)
		return NULL;
	pthread_mutex_lock(&f->lock);
	struct rl_list *l = rl_list_pop(&f->injected);
	if (l)
		atomic_fetch_sub_explicit(&f->injected_len, 1, memory_order_relaxed);
	pthread_mutex_unlock(&f->lock);
	return l ? rl_container(l, struct rl_job, link) : NULL;
}

/* Another's oldest; and of many, several more for the own deque. */
static struct rl_job *steal_from(struct rl_seat *own, struct rl_seat *victim)
{
	unsigned more = rl_deque_len(&victim->jobs) / 2;
	struct rl_job *first = rl_deque_steal(&victim->jobs);
	if (!first || (void *)first == RL_DEQUE_LOST)
		return NULL;
	more = more < RL_STEAL_MAX ? more : RL_STEAL_MAX;
	for (unsigned n = 1; n < more; n++) {
		struct rl_job *job = rl_deque_steal(&victim->jobs);
		if (!job || (void *)job == RL_DEQUE_LOST)
			break;
		/* There is room: the deque was empty, and only its owner puts something into it. */
		bool pushed = rl_deque_push(&own->jobs, job);
	own->pushed += pushed;
		RL_ASSERT(pushed);
	}
	return first;
}

static struct rl_job *steal(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	struct rl_seat *own = rl_fleet_seat(s);
	if (!f->stealing || f->size < 2)
		return NULL;
	for (int i = 0; i < RL_STEAL_TRIES; i++) {
		unsigned pick = (unsigned)(rl_rand_next(&own->rand) % (f->size - 1));
		struct rl_seat *victim = &f->seats[(s->index + 1 + pick) % f->size];
		if (rl_deque_len(&victim->jobs) == 0)
			continue;
		rl_fleet_count(&own->tries);
		struct rl_job *job = steal_from(own, victim);
		if (!job)
			continue;
		rl_fleet_count(&own->steals);
		return job;
	}
	return NULL;
}

/* What found the deque full. */
static struct rl_job *take_spilt(struct rl_shard *s)
{
	if (s->fleet->stealing)
		return take_injected(s->fleet);
	struct rl_list *l = rl_list_pop(&rl_fleet_seat(s)->spilt);
	return l ? rl_container(l, struct rl_job, link) : NULL;
}

/* Of the own deque, or what a deque had no room for. */
static struct rl_job *find_near(struct rl_shard *s)
{
	struct rl_seat *own = rl_fleet_seat(s);
	struct rl_job *job = NULL;
	if (!rl_job_is_near(s))
		return NULL;
	own->takes++;
	if (own->takes % RL_JOB_FAIR == 0)
		job = take_spilt(s);
	else if (own->takes % RL_JOB_FAIR == RL_JOB_FAIR / 2)
		job = rl_deque_take(&own->jobs);
	if (!job)
		job = rl_deque_pop(&own->jobs);
	return job ? job : take_spilt(s);
}

bool rl_job_take_near(struct rl_shard *s)
{
	struct rl_job *job;
	do
		job = find_near(s);
	while (job && !job_begin(s, job, false));
	return job != NULL;
}

bool rl_job_take(struct rl_shard *s)
{
	struct rl_job *job;
	bool near;
	do {
		job = find_near(s);
		near = job != NULL;
		if (!job)
			job = steal(s);
	} while (job && !job_begin(s, job, !near));
	return job != NULL;
}

bool rl_job_is_any(const struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	if (rl_job_is_near(s))
		return true;
	for (unsigned i = 0; f->stealing && i < f->size; i++)
		if (rl_deque_len(&f->seats[i].jobs) > 0)
			return true;
	return false;
}

void rl_job_drop_all(struct rl_fleet *f)
{
	for (struct rl_job *job = take_injected(f); job; job = take_injected(f))
		rl_job_put(job);
	for (unsigned i = 0; i < f->size; i++) {
		struct rl_seat *seat = &f->seats[i];
		for (struct rl_job *job = rl_deque_pop(&seat->jobs); job; job = rl_deque_pop(&seat->jobs))
			rl_job_put(job);
		for (struct rl_list *l = rl_list_pop(&seat->spilt); l; l = rl_list_pop(&seat->spilt))
			rl_job_put(rl_container(l, struct rl_job, link));
	}
}
