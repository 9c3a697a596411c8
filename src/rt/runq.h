/* SPDX-License-Identifier: MIT */
/*
 * runq: what is runnable, and who is next.
 *
 * There is a queue for each priority, first in, first out. Who is critical goes before who is
 * normal, who is normal before the background; but nobody starves: after RL_FAVOURED runs of a
 * higher priority in a row one of a lower is due.
 *
 * Tasks of normal priority are run in the order in which they became runnable - up to a point: a
 * tree of tasks that each spawn ten would then be held in memory a whole level at a time. So a new
 * one joins the end of its queue only while that is short; beyond, the tasks one task spawns in one
 * turn are a group, in order, in front of the older groups of the backlog (a tree is then walked
 * depth first, with a footprint like its height). An empty queue is filled from the head of the
 * backlog; so that nothing starves, one from there also goes in every RL_FAIR runs, and one from
 * its tail every RL_FAIR_GROUPS groups. Who yields goes behind everything. Go's overflow from the
 * local to the global queue does the same job.
 *
 * Invariants: a task that is new or ready is here, once, unless it is the one just interrupted;
 * `len` counts the queues, `backlog_len` both lists of the backlog, whose tasks are `backlogged`.
 */
#ifndef RL_RT_RUNQ_H
#define RL_RT_RUNQ_H

#include "base/check.h"
#include "rt/task.h"

/* The longest run queue that new tasks join at its end. */
#ifndef RL_QUEUE_SHORT
#define RL_QUEUE_SHORT 256
#endif
#ifndef RL_FAVOURED
#define RL_FAVOURED 16
#endif

struct rl_runq {
	struct rl_list tasks[RL_PRIORITIES];
	unsigned len[RL_PRIORITIES];
	unsigned favoured[RL_PRIORITIES];
	struct rl_list backlog;    /* what is runnable beyond a short queue */
	struct rl_list fresh;      /* the part of it that the running task has added */
	unsigned backlog_len;
	unsigned since_backlog, groups;
};

void rl_runq_init(struct rl_runq *q);

/* Put a task behind all of its priority, which may be more than are in the queue. */
void rl_runq_push_last(struct rl_runq *q, struct rl_task *t);
/* Put it before them. */
void rl_runq_push_front(struct rl_runq *q, struct rl_task *t);
/* Take off a task that is on it. */
void rl_runq_remove(struct rl_runq *q, struct rl_task *t);

/* The rare parts of the functions below. */
void rl_runq_push_fresh(struct rl_runq *q, struct rl_task *t);
void rl_runq_take_group(struct rl_runq *q);
struct rl_task *rl_runq_take_chosen(struct rl_runq *q);

/* Who goes next of priorities that wait, a bit each and at least one: the highest, unless a lower
 * one is due. `favoured` counts runs before lower ones that waited, in a row. */
unsigned rl_runq_favour(unsigned favoured[RL_PRIORITIES], unsigned waits);

/* Put a task at the end of its queue. */
static inline void rl_runq_push(struct rl_runq *q, struct rl_task *t)
{
	rl_list_push(&q->tasks[t->priority], &t->clause.link);
	q->len[t->priority]++;
}

/* A task that has not run. */
static inline void rl_runq_push_new(struct rl_runq *q, struct rl_task *t)
{
	if (q->len[RL_NORMAL] < RL_QUEUE_SHORT || t->priority != RL_NORMAL)
		rl_runq_push(q, t);
	else
		rl_runq_push_fresh(q, t);
}

/* What the running task has spawned beyond the short queue becomes the first group. */
static inline void rl_runq_close_group(struct rl_runq *q)
{
	if (!rl_list_empty(&q->fresh))
		rl_runq_take_group(q);
}

/* The task whose turn it is, of a queue that is not empty. */
static inline struct rl_task *rl_runq_take(struct rl_runq *q)
{
	if ((q->backlog_len | q->len[RL_CRITICAL] | q->len[RL_BACKGROUND]) > 0)
		return rl_runq_take_chosen(q);
	q->len[RL_NORMAL]--;
	return rl_container(rl_list_pop(&q->tasks[RL_NORMAL]), struct rl_task, clause.link);
}

/* Without the backlog. */
static inline unsigned rl_runq_queued(const struct rl_runq *q)
{
	return q->len[RL_CRITICAL] + q->len[RL_NORMAL] + q->len[RL_BACKGROUND];
}

static inline unsigned rl_runq_len(const struct rl_runq *q)
{
	return rl_runq_queued(q) + q->backlog_len;
}

/* Is somebody runnable who goes before such a task? */
static inline bool rl_runq_has_above(const struct rl_runq *q, unsigned priority)
{
	if (priority > RL_CRITICAL && q->len[RL_CRITICAL] > 0)
		return true;
	return priority > RL_NORMAL && q->len[RL_NORMAL] + q->backlog_len > 0;
}

#endif
