/* SPDX-License-Identifier: MIT */
/*
 * job: work that may begin on any shard: a function and its arguments, as a parcel.
 *
 * Who submits one owns it until its end was delivered there; who runs it owns the rest. Where it
 * begins it stays.
 */
#ifndef RL_RT_JOB_H
#define RL_RT_JOB_H

#include "rt/fleet.h"
#include "rt/value.h"

/* QUEUED -> BEGUN -> ENDED, or QUEUED -> CANCELLED -> ENDED; each by a compare-and-swap. */
enum rl_job_state { RL_JOB_QUEUED, RL_JOB_BEGUN, RL_JOB_CANCELLED, RL_JOB_ENDED };

struct rl_job {
	struct rl_msg msg;            /* to the shard it is for, then back to its origin */
	struct rl_list link;          /* in the injection queue, or spilt */
	_Atomic uint32_t refs;        /* the origin's, and that of who runs it */
	_Atomic uint32_t state;
	_Atomic uint32_t runner;      /* the shard that began it */
	uint32_t origin;
	bool ok;                      /* how it ended; for the origin, after ENDED */
	uint8_t results;              /* 0: none, 1: `result` is the value, 2: a parcel of several */
	uint32_t slot;                /* of its task, where it runs */
	void *self;                   /* the binding's, at the origin; NULL: nobody wants to know */
	struct rl_parcel *work;
	struct rl_value result;       /* what it returned, or its error and traceback */
};

/* A job with two references; takes `work`. NULL when there is no memory. */
struct rl_job *rl_job_new(struct rl_shard *s, struct rl_parcel *work);
struct rl_job *rl_job_get(struct rl_job *job);
void rl_job_put(struct rl_job *job);

/* Give the runner's reference away: to any shard, or to one. */
void rl_job_submit(struct rl_shard *s, struct rl_job *job);
void rl_job_submit_to(struct rl_shard *s, struct rl_job *job, unsigned to);

/* The origin's, when it no longer wants it: true when it had not begun, and never will. */
bool rl_job_revoke(struct rl_job *job);

/* By who runs it, when it has ended and `ok` and the result are set: to the origin. */
void rl_job_end(struct rl_shard *s, struct rl_job *job);

/* Begin one job, if there is any: of this shard's own, injected, or stolen. */
bool rl_job_take(struct rl_shard *s);
/* The same without stealing. */
bool rl_job_take_near(struct rl_shard *s);

/* Could rl_job_take find one? */
bool rl_job_is_any(const struct rl_shard *s);

/* Could rl_job_take_near? In every turn. */
static inline bool rl_job_is_near(const struct rl_shard *s)
{
	struct rl_seat *own = rl_fleet_seat(s);
	return rl_deque_len(&own->jobs) > 0 || !rl_list_empty(&own->spilt)
		|| atomic_load_explicit(&s->fleet->injected_len, memory_order_relaxed) > 0;
}

/* Drop all that has not begun, of a fleet that every shard has left. */
void rl_job_drop_all(struct rl_fleet *f);

#endif
