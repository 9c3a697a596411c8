/* SPDX-License-Identifier: MIT */
/* squeue: see squeue.h. A waiter is on the list from join until it is claimed or leaves. */
#include "rt/squeue.h"

#include "rt/wait.h"

void rl_squeue_init(struct rl_squeue *q, const struct rl_shared_class *class,
	void (*settle)(struct rl_squeue *q, struct rl_list *claimed))
{
	rl_shared_init(&q->shared, class);
	pthread_mutex_init(&q->lock, NULL);
	rl_list_init(&q->waiters);
	q->settle = settle;
}

void rl_squeue_term(struct rl_squeue *q)
{
	pthread_mutex_destroy(&q->lock);
}

void rl_squeue_lock(struct rl_squeue *q, struct rl_list *claimed)
{
	rl_list_init(claimed);
	pthread_mutex_lock(&q->lock);
}

void rl_squeue_unlock(struct rl_shard *s, struct rl_squeue *q, struct rl_list *claimed)
{
	pthread_mutex_unlock(&q->lock);
	rl_waiter_fire_all(s, claimed);
}

/* Its wait has ended, or never began; on its own shard. */
static void leave(struct rl_waiter *w)
{
	struct rl_squeue *q = (struct rl_squeue *)w->object;
	struct rl_list claimed;
	rl_squeue_lock(q, &claimed);
	/* One that was claimed is on the list of who claimed it. */
	if (!w->won && !rl_list_empty(&w->link)) {
		rl_list_remove(&w->link);
		if (q->settle)
			q->settle(q, w->home->fleet ? &claimed : NULL);
	}
	rl_squeue_unlock(w->home, q, &claimed);
}

struct rl_waiter *rl_squeue_waiter(struct rl_shard *s, struct rl_task *t, struct rl_squeue *q)
{
	struct rl_ticket *k = rl_ticket_open(s, t);
	if (!k)
		return NULL;
	struct rl_waiter *w = rl_waiter_add(s, k, &q->shared, 0, leave);
	if (!w)
		rl_ticket_close(s, k);
	return w;
}

void rl_squeue_forget(struct rl_shard *s, struct rl_waiter *w)
{
	rl_ticket_close(s, w->ticket);
}

void rl_squeue_park(struct rl_shard *s, struct rl_waiter *w, unsigned reason, int64_t deadline_ns)
{
	rl_wait_park_shared(s, w->ticket, reason, deadline_ns);
}

bool rl_squeue_claim(struct rl_waiter *w, struct rl_list *claimed)
{
	rl_list_remove(&w->link);
	rl_value_drop(&w->value);
	if (!rl_waiter_claim(w))
		return false;
	rl_list_push(claimed, &w->link);
	return true;
}

void rl_squeue_claim_all(struct rl_squeue *q, struct rl_list *claimed)
{
	for (struct rl_waiter *w = rl_squeue_first(q); w; w = rl_squeue_first(q))
		rl_squeue_claim(w, claimed);
}
