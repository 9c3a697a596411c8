/* SPDX-License-Identifier: MIT */
/*
 * sonce: see sonce.h. IDLE -> RUNNING by who begins it; RUNNING -> IDLE when it is given up, which
 * wakes all who wait, so that it does not matter who of them is gone; RUNNING -> DONE, which is the
 * end. `state` changes under the lock; who finds it DONE without the lock sees the result.
 */
#include "rt/sonce.h"

#include "base/check.h"
#include "base/err.h"

#include <stdlib.h>

enum { IDLE, RUNNING, DONE };

struct rl_sonce {
	struct rl_squeue queue;
	_Atomic uint32_t state;
	struct rl_parcel *result;
};

static void sonce_free(struct rl_shared *o)
{
	struct rl_sonce *once = (struct rl_sonce *)o;
	rl_parcel_put(once->result);
	rl_squeue_term(&once->queue);
	free(once);
}

const struct rl_shared_class rl_sonce_class = {"ringlet.shared.once", sonce_free};

struct rl_sonce *rl_sonce_new(void)
{
	struct rl_sonce *o = malloc(sizeof *o);
	if (!o)
		return NULL;
	rl_squeue_init(&o->queue, &rl_sonce_class, NULL);
	atomic_init(&o->state, IDLE);
	o->result = NULL;
	return o;
}

static uint32_t state_of(struct rl_sonce *o)
{
	/* Pairs with the release in `settle`. */
	return atomic_load_explicit(&o->state, memory_order_acquire);
}

/* Under the lock: whose turn is it? */
static int turn(struct rl_sonce *o)
{
	uint32_t state = state_of(o);
	if (state == DONE)
		return RL_SONCE_DONE;
	if (state == RUNNING)
		return RL_SONCE_PARKED;
	atomic_store_explicit(&o->state, RUNNING, memory_order_relaxed);
	return RL_SONCE_YOURS;
}

static int turn_now(struct rl_shard *s, struct rl_sonce *o)
{
	struct rl_list claimed;
	rl_squeue_lock(&o->queue, &claimed);
	int whose = turn(o);
	rl_squeue_unlock(s, &o->queue, &claimed);
	return whose;
}

int rl_sonce_begin(struct rl_shard *s, struct rl_task *t, struct rl_sonce *o, int64_t deadline_ns)
{
	struct rl_list claimed;
	if (state_of(o) == DONE)
		return RL_SONCE_DONE;
	int whose = turn_now(s, o);
	if (whose != RL_SONCE_PARKED)
		return whose;
	if (deadline_ns == 0)
		return -ETIMEDOUT;
	struct rl_waiter *w = rl_squeue_waiter(s, t, &o->queue);
	if (!w)
		return -ENOMEM;
	rl_squeue_lock(&o->queue, &claimed);
	whose = turn(o);
	if (whose == RL_SONCE_PARKED)
		rl_squeue_join(&o->queue, w);
	rl_squeue_unlock(s, &o->queue, &claimed);
	if (whose == RL_SONCE_PARKED)
		rl_squeue_park(s, w, RL_REASON_ONCE, deadline_ns);
	else
		rl_squeue_forget(s, w);
	return whose;
}

static void settle(struct rl_shard *s, struct rl_sonce *o, uint32_t state)
{
	struct rl_list claimed;
	RL_ASSERT(state_of(o) == RUNNING);
	rl_squeue_lock(&o->queue, &claimed);
	/* Pairs with the acquire of who reads the result. */
	atomic_store_explicit(&o->state, state, memory_order_release);
	if (s->fleet)
		rl_squeue_claim_all(&o->queue, &claimed);
	rl_squeue_unlock(s, &o->queue, &claimed);
}

void rl_sonce_finish(struct rl_shard *s, struct rl_sonce *o, struct rl_parcel *result)
{
	o->result = result;
	settle(s, o, DONE);
}

void rl_sonce_give_up(struct rl_shard *s, struct rl_sonce *o)
{
	settle(s, o, IDLE);
}

const struct rl_parcel *rl_sonce_result(struct rl_sonce *o)
{
	return o->result;
}

bool rl_sonce_is_done(struct rl_sonce *o)
{
	return state_of(o) == DONE;
}
