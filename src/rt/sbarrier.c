/* SPDX-License-Identifier: MIT */
/*
 * sbarrier: see sbarrier.h.
 *
 * The last to come claims all others. A claim that fails means that a waiter's own shard has ended
 * its wait, so not all are there, and those that were claimed by then cannot be given back: they
 * are sent home to come again.
 *
 * Invariant: `len` is how many are on the list, and less than n after each unlock.
 */
#include "rt/sbarrier.h"

#include "base/err.h"

#include <stdlib.h>

struct rl_sbarrier {
	struct rl_squeue queue;
	uint32_t n, len;
};

static void sbarrier_free(struct rl_shared *o)
{
	struct rl_sbarrier *b = (struct rl_sbarrier *)o;
	rl_squeue_term(&b->queue);
	free(b);
}

const struct rl_shared_class rl_sbarrier_class = {"ringlet.shared.barrier", sbarrier_free};

/* Under the lock: one has left. */
static void settle(struct rl_squeue *q, struct rl_list *claimed)
{
	struct rl_sbarrier *b = (struct rl_sbarrier *)q;
	(void)claimed;
	b->len--;
}

struct rl_sbarrier *rl_sbarrier_new(uint32_t n)
{
	struct rl_sbarrier *b = malloc(sizeof *b);
	if (!b)
		return NULL;
	rl_squeue_init(&b->queue, &rl_sbarrier_class, settle);
	b->n = n;
	b->len = 0;
	return b;
}

/* Tell those that were claimed where they came, or to come again. */
static void tell(struct rl_list *claimed, bool all)
{
	int64_t place = 0;
	for (struct rl_list *l = claimed->next; l != claimed; l = l->next) {
		struct rl_waiter *w = rl_container(l, struct rl_waiter, link);
		w->value.kind = all ? RL_VALUE_INTEGER : RL_VALUE_NONE;
		w->value.integer = all ? ++place : 0;
		w->code = all ? 0 : -EAGAIN;
	}
}

/* Under the lock: is the caller the last, and everybody here? */
static bool meet(struct rl_sbarrier *b, struct rl_list *claimed)
{
	if (b->len + 1 < b->n)
		return false;
	bool all = true;
	for (struct rl_waiter *w = rl_squeue_first(&b->queue); w; w = rl_squeue_first(&b->queue))
		all &= rl_squeue_claim(w, claimed);
	b->len = 0;
	tell(claimed, all);
	return all;
}

static bool meet_now(struct rl_shard *s, struct rl_sbarrier *b)
{
	struct rl_list claimed;
	rl_squeue_lock(&b->queue, &claimed);
	bool met = meet(b, &claimed);
	rl_squeue_unlock(s, &b->queue, &claimed);
	return met;
}

int64_t rl_sbarrier_wait(struct rl_shard *s, struct rl_task *t, struct rl_sbarrier *b,
	int64_t deadline_ns)
{
	struct rl_list claimed;
	if (deadline_ns == 0)
		return meet_now(s, b) ? (int64_t)b->n : -ETIMEDOUT;
	struct rl_waiter *w = rl_squeue_waiter(s, t, &b->queue);
	if (!w)
		return -ENOMEM;
	rl_squeue_lock(&b->queue, &claimed);
	bool met = meet(b, &claimed);
	if (!met) {
		rl_squeue_join(&b->queue, w);
		b->len++;
	}
	rl_squeue_unlock(s, &b->queue, &claimed);
	if (met)
		rl_squeue_forget(s, w);
	else
		rl_squeue_park(s, w, RL_REASON_BARRIER, deadline_ns);
	return met ? (int64_t)b->n : 0;
}

uint32_t rl_sbarrier_waiting(struct rl_sbarrier *b)
{
	pthread_mutex_lock(&b->queue.lock);
	uint32_t len = b->len;
	pthread_mutex_unlock(&b->queue.lock);
	return len;
}

uint32_t rl_sbarrier_size(const struct rl_sbarrier *b)
{
	return b->n;
}
