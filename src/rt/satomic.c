/* SPDX-License-Identifier: MIT */
/*
 * satomic: see satomic.h.
 *
 * Who waits sets `waited`, then looks at the value once more; who changes the value then looks at
 * `waited`. All four are sequentially consistent, so one of the two sees the other's word, and a
 * change that nobody waits for takes no lock. `waited` changes under the lock, and is true while
 * there is a waiter; a waiter's value is what it does not want to see.
 */
#include "rt/satomic.h"

#include "base/err.h"

#include <stdlib.h>

struct rl_satomic {
	struct rl_squeue queue;
	_Atomic bool waited;
	_Alignas(64) _Atomic int64_t value;
};

static void satomic_free(struct rl_shared *o)
{
	struct rl_satomic *a = (struct rl_satomic *)o;
	rl_squeue_term(&a->queue);
	free(a);
}

const struct rl_shared_class rl_satomic_class = {"ringlet.shared.atomic", satomic_free};

struct rl_satomic *rl_satomic_new(int64_t value)
{
	struct rl_satomic *a = aligned_alloc(_Alignof(struct rl_satomic), sizeof *a);
	if (!a)
		return NULL;
	rl_squeue_init(&a->queue, &rl_satomic_class, NULL);
	atomic_init(&a->waited, false);
	atomic_init(&a->value, value);
	return a;
}

int64_t rl_satomic_load(struct rl_satomic *a)
{
	/* Pairs with every change. */
	return atomic_load_explicit(&a->value, memory_order_seq_cst);
}

static void wake(struct rl_shard *s, struct rl_satomic *a)
{
	struct rl_list claimed;
	rl_squeue_lock(&a->queue, &claimed);
	int64_t now = rl_satomic_load(a);
	struct rl_list *next;
	for (struct rl_list *l = a->queue.waiters.next; l != &a->queue.waiters; l = next) {
		struct rl_waiter *w = rl_container(l, struct rl_waiter, link);
		next = l->next;
		if (w->value.integer != now)
			rl_squeue_claim(w, &claimed);
	}
	if (rl_list_empty(&a->queue.waiters))
		atomic_store_explicit(&a->waited, false, memory_order_seq_cst);
	rl_squeue_unlock(s, &a->queue, &claimed);
}

/* The value has just been changed. */
static void changed(struct rl_shard *s, struct rl_satomic *a)
{
	/* Pairs with the store in rl_satomic_wait. */
	if (atomic_load_explicit(&a->waited, memory_order_seq_cst) && s->fleet)
		wake(s, a);
}

int64_t rl_satomic_add(struct rl_shard *s, struct rl_satomic *a, int64_t n)
{
	int64_t before = atomic_fetch_add_explicit(&a->value, n, memory_order_seq_cst);
	changed(s, a);
	return (int64_t)((uint64_t)before + (uint64_t)n);
}

int64_t rl_satomic_exchange(struct rl_shard *s, struct rl_satomic *a, int64_t n)
{
	int64_t before = atomic_exchange_explicit(&a->value, n, memory_order_seq_cst);
	changed(s, a);
	return before;
}

bool rl_satomic_cas(struct rl_shard *s, struct rl_satomic *a, int64_t *expected, int64_t n)
{
	bool done = atomic_compare_exchange_strong_explicit(&a->value, expected, n,
		memory_order_seq_cst, memory_order_seq_cst);
	if (done)
		changed(s, a);
	return done;
}

/* Under the lock: false when something else is there by now. */
static bool join(struct rl_satomic *a, struct rl_waiter *w, int64_t expected)
{
	/* Pairs with the load in `changed`. */
	atomic_store_explicit(&a->waited, true, memory_order_seq_cst);
	if (rl_satomic_load(a) != expected)
		return false;
	w->value.kind = RL_VALUE_INTEGER;
	w->value.integer = expected;
	rl_squeue_join(&a->queue, w);
	return true;
}

int rl_satomic_wait(struct rl_shard *s, struct rl_task *t, struct rl_satomic *a, int64_t expected,
	int64_t deadline_ns)
{
	struct rl_list claimed;
	if (rl_satomic_load(a) != expected)
		return 1;
	if (deadline_ns == 0)
		return -ETIMEDOUT;
	struct rl_waiter *w = rl_squeue_waiter(s, t, &a->queue);
	if (!w)
		return -ENOMEM;
	rl_squeue_lock(&a->queue, &claimed);
	bool waits = join(a, w, expected);
	rl_squeue_unlock(s, &a->queue, &claimed);
	if (waits)
		rl_squeue_park(s, w, RL_REASON_WAIT, deadline_ns);
	else
		rl_squeue_forget(s, w);
	return !waits;
}
