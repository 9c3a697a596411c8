/* SPDX-License-Identifier: MIT */
/*
 * squeue: what a shared object that tasks wait for begins with: a lock, and who waits, longest
 * first.
 *
 * A task waits in three steps, so that nothing is missed between looking and waiting, and no memory
 * is sought under the lock:
 *
 *     w = rl_squeue_waiter(...)
 *     rl_squeue_lock; can it go on by now? else rl_squeue_join(q, w); rl_squeue_unlock
 *     rl_squeue_forget(s, w) if it can, else rl_squeue_park(s, w, ...)
 *
 * Whoever changes the object claims waiters under the lock, into a list that the unlock fires. That
 * takes a fleet: outside of a run nobody can be told, and nobody may be claimed.
 */
#ifndef RL_RT_SQUEUE_H
#define RL_RT_SQUEUE_H

#include "rt/ticket.h"

#include <pthread.h>

struct rl_squeue {
	struct rl_shared shared;
	pthread_mutex_t lock;
	struct rl_list waiters;
	/* Under the lock, somebody has given up waiting: claim who can go on now; nobody if `claimed`
	 * is NULL. May be NULL itself. */
	void (*settle)(struct rl_squeue *q, struct rl_list *claimed);
};

void rl_squeue_init(struct rl_squeue *q, const struct rl_shared_class *class,
	void (*settle)(struct rl_squeue *q, struct rl_list *claimed));
void rl_squeue_term(struct rl_squeue *q);

/* Lock it, with a list for who is claimed; unlock it and fire them, from the shard whose thread
 * this is. */
void rl_squeue_lock(struct rl_squeue *q, struct rl_list *claimed);
void rl_squeue_unlock(struct rl_shard *s, struct rl_squeue *q, struct rl_list *claimed);

/* A waiter for the running task; NULL when there is no memory. */
struct rl_waiter *rl_squeue_waiter(struct rl_shard *s, struct rl_task *t, struct rl_squeue *q);
void rl_squeue_forget(struct rl_shard *s, struct rl_waiter *w);
void rl_squeue_park(struct rl_shard *s, struct rl_waiter *w, unsigned reason, int64_t deadline_ns);

/* Under the lock: to the end of who waits. */
static inline void rl_squeue_join(struct rl_squeue *q, struct rl_waiter *w)
{
	rl_list_push(&q->waiters, &w->link);
}

/* Under the lock: take it off, and claim it. False: its wait has ended otherwise. */
bool rl_squeue_claim(struct rl_waiter *w, struct rl_list *claimed);
/* The same for all of them. */
void rl_squeue_claim_all(struct rl_squeue *q, struct rl_list *claimed);

static inline struct rl_waiter *rl_squeue_first(const struct rl_squeue *q)
{
	struct rl_list *l = rl_list_first(&q->waiters);
	return l ? rl_container(l, struct rl_waiter, link) : NULL;
}

#endif
