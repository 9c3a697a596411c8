/* SPDX-License-Identifier: MIT */
/*
 * ssem: see ssem.h. A waiter's value is how many tokens it wants.
 *
 * Invariant: after each unlock, the first waiter wants more than are free, or its wait has just
 * ended otherwise; nobody who comes later is served before it.
 */
#include "rt/ssem.h"

#include "base/err.h"

#include <stdlib.h>

struct rl_ssem {
	struct rl_squeue queue;
	uint64_t size, free;
};

static void ssem_free(struct rl_shared *o)
{
	struct rl_ssem *sem = (struct rl_ssem *)o;
	rl_squeue_term(&sem->queue);
	free(sem);
}

const struct rl_shared_class rl_ssem_class = {"ringlet.shared.semaphore", ssem_free};

/* Under the lock: serve from the head. */
static void settle(struct rl_squeue *q, struct rl_list *claimed)
{
	struct rl_ssem *sem = (struct rl_ssem *)q;
	struct rl_waiter *w = claimed ? rl_squeue_first(q) : NULL;
	for (; w; w = rl_squeue_first(q)) {
		uint64_t wants = (uint64_t)w->value.integer;
		if (wants > sem->free)
			return;
		if (rl_squeue_claim(w, claimed))
			sem->free -= wants;
	}
}

struct rl_ssem *rl_ssem_new(uint64_t size)
{
	struct rl_ssem *sem = malloc(sizeof *sem);
	if (!sem)
		return NULL;
	rl_squeue_init(&sem->queue, &rl_ssem_class, settle);
	sem->size = sem->free = size;
	return sem;
}

/* Under the lock. */
static bool take(struct rl_ssem *sem, uint64_t n)
{
	if (rl_squeue_first(&sem->queue) || sem->free < n)
		return false;
	sem->free -= n;
	return true;
}

bool rl_ssem_try_acquire(struct rl_shard *s, struct rl_ssem *sem, uint64_t n)
{
	struct rl_list claimed;
	rl_squeue_lock(&sem->queue, &claimed);
	bool got = take(sem, n);
	rl_squeue_unlock(s, &sem->queue, &claimed);
	return got;
}

int rl_ssem_acquire(struct rl_shard *s, struct rl_task *t, struct rl_ssem *sem, uint64_t n,
	int64_t deadline_ns)
{
	struct rl_list claimed;
	if (n > sem->size)
		return -EINVAL;
	if (rl_ssem_try_acquire(s, sem, n))
		return 1;
	if (deadline_ns == 0)
		return -ETIMEDOUT;
	struct rl_waiter *w = rl_squeue_waiter(s, t, &sem->queue);
	if (!w)
		return -ENOMEM;
	rl_squeue_lock(&sem->queue, &claimed);
	bool got = take(sem, n);
	if (!got) {
		w->value.kind = RL_VALUE_INTEGER;
		w->value.integer = (int64_t)n;
		rl_squeue_join(&sem->queue, w);
	}
	rl_squeue_unlock(s, &sem->queue, &claimed);
	if (got)
		rl_squeue_forget(s, w);
	else
		rl_squeue_park(s, w, RL_REASON_SEMAPHORE, deadline_ns);
	return got;
}

int rl_ssem_release(struct rl_shard *s, struct rl_ssem *sem, uint64_t n)
{
	struct rl_list claimed;
	rl_squeue_lock(&sem->queue, &claimed);
	bool fits = n <= sem->size - sem->free;
	if (fits) {
		sem->free += n;
		settle(&sem->queue, s->fleet ? &claimed : NULL);
	}
	rl_squeue_unlock(s, &sem->queue, &claimed);
	return fits ? 0 : -EOVERFLOW;
}

uint64_t rl_ssem_available(struct rl_ssem *sem)
{
	pthread_mutex_lock(&sem->queue.lock);
	uint64_t n = sem->free;
	pthread_mutex_unlock(&sem->queue.lock);
	return n;
}

uint64_t rl_ssem_size(const struct rl_ssem *sem)
{
	return sem->size;
}
