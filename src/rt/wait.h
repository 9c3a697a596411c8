/* SPDX-License-Identifier: MIT */
/*
 * wait: the one way to block (after libdill's clauses). A task adds clauses, parks, and exactly one
 * thing ends the wait: a clause fires, the deadline passes, or it is cancelled. Whoever ends it
 * unlinks every sibling at once, so a waiter that timed out or was cancelled is on no list when its
 * call returns, and nothing can be handed to it any more.
 */
#ifndef RL_RT_WAIT_H
#define RL_RT_WAIT_H

#include "base/check.h"
#include "rt/measure.h"
#include "rt/shard.h"

struct rl_ticket;

/* Put a task that has no live clause at the end of its run queue. */
static inline void rl_ready(struct rl_shard *s, struct rl_task *t)
{
	RL_DEBUG_ASSERT(rl_list_empty(&t->clause.link));
	if (t->state != RL_TASK_NEW)
		t->state = RL_TASK_READY;
	rl_runq_push(&s->runq, t);
	if (--s->sample_in == 0)
		rl_measure_sample(s, t);
}

/* Wait for `q` as the task's first clause. `offer`: stack index of the value offered, or 0. */
void rl_wait_add(struct rl_task *t, struct rl_waitq *q, unsigned index, unsigned offer);

/* Make room for `n` further clauses; 0 or -ENOMEM, in which case nothing is linked. */
int rl_wait_reserve(struct rl_task *t, unsigned n);
/* Wait for `q` as well, with the next reserved clause. */
void rl_wait_add_more(struct rl_task *t, struct rl_waitq *q, unsigned index, unsigned offer);

/* Park the running task on the clauses added; deadline_ns -1 never. The caller then yields. Without
 * memory for the deadline the wait ends at once, with -ENOMEM. */
void rl_wait_park(struct rl_shard *s, struct rl_task *t, unsigned reason, int64_t deadline_ns);

/* The same on the waiters that the ticket has, and the task's clauses if it has any. */
void rl_wait_park_shared(struct rl_shard *s, struct rl_ticket *k, unsigned reason,
	int64_t deadline_ns);

/* The running task need not wait after all: unlink its clauses. */
void rl_wait_retract(struct rl_shard *s, struct rl_task *t);

/* End the wait of a parked task by this clause (from rl_waitq_first, if its queue may be waited on
 * beside shared objects): with `results` values that the caller has put on its stack, or, with
 * none, with the code `result` (0: woken). */
void rl_wait_fire(struct rl_shard *s, struct rl_clause *c, unsigned results, int result);

/* End the wait of a parked task by something that is no clause: a deadline, a cancel. Does nothing
 * if another shard has ended it: what tells is on its way. */
void rl_wait_end(struct rl_shard *s, struct rl_task *t, int result);

/* By ticket.c: end a wait because a waiter has come home. */
void rl_wait_arrive(struct rl_shard *s, struct rl_task *t, unsigned index, int result);

/* Take a task that is not running off every list: it is never resumed again. */
void rl_wait_abandon(struct rl_shard *s, struct rl_task *t);

/* End with `result` the wait of the first waiter, or of all; returns how many. */
unsigned rl_waitq_wake(struct rl_shard *s, struct rl_waitq *q, int result, bool all);

#endif
