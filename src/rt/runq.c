/* SPDX-License-Identifier: MIT */
/*
 * runq: see runq.h.
 */
#include "rt/runq.h"

#include <string.h>

#define RL_FAIR 61          /* runs */
#define RL_FAIR_GROUPS 1021 /* rarely: the tail of the backlog is where a tree is widest */

void rl_runq_init(struct rl_runq *q)
{
	memset(q, 0, sizeof *q);
	for (unsigned p = 0; p < RL_PRIORITIES; p++)
		rl_list_init(&q->tasks[p]);
	rl_list_init(&q->backlog);
	rl_list_init(&q->fresh);
}

void rl_runq_push_last(struct rl_runq *q, struct rl_task *t)
{
	if (q->backlog_len == 0 || t->priority != RL_NORMAL) {
		rl_runq_push(q, t);
		return;
	}
	t->backlogged = 1;
	rl_list_push(&q->backlog, &t->clause.link);
	q->backlog_len++;
}

void rl_runq_push_front(struct rl_runq *q, struct rl_task *t)
{
	rl_list_push_front(&q->tasks[t->priority], &t->clause.link);
	q->len[t->priority]++;
}

void rl_runq_push_fresh(struct rl_runq *q, struct rl_task *t)
{
	t->backlogged = 1;
	rl_list_push(&q->fresh, &t->clause.link);
	q->backlog_len++;
}

void rl_runq_remove(struct rl_runq *q, struct rl_task *t)
{
	RL_ASSERT(!rl_list_empty(&t->clause.link));
	rl_list_remove(&t->clause.link);
	if (t->backlogged)
		q->backlog_len--;
	else
		q->len[t->priority]--;
	t->backlogged = 0;
}

/* From the backlog to the end of the queue. */
static void enqueue(struct rl_runq *q, struct rl_list *link)
{
	struct rl_task *t = rl_container(link, struct rl_task, clause.link);
	t->backlogged = 0;
	q->backlog_len--;
	rl_runq_push(q, t);
}

void rl_runq_take_group(struct rl_runq *q)
{
	rl_list_take_front(&q->backlog, &q->fresh);
	if (++q->groups % RL_FAIR_GROUPS == 0) {
		struct rl_list *oldest = q->backlog.prev;
		rl_list_remove(oldest);
		enqueue(q, oldest);
	}
}

/* Move up to n tasks from the head of the backlog to the end of the queue. */
static void serve_backlog(struct rl_runq *q, unsigned n)
{
	q->since_backlog = 0;
	for (; n > 0 && q->backlog_len > 0; n--) {
		if (rl_list_empty(&q->backlog))
			rl_list_take_front(&q->backlog, &q->fresh);
		enqueue(q, rl_list_pop(&q->backlog));
	}
}

unsigned rl_runq_favour(unsigned favoured[RL_PRIORITIES], unsigned waits)
{
	unsigned p = 0;
	for (; waits >> (p + 1) != 0; p++) {
		if ((waits >> p & 1) && ++favoured[p] <= RL_FAVOURED)
			return p;
		favoured[p] = 0;
	}
	favoured[p] = 0;
	return p;
}

/* Whose turn it is, when not all are of normal priority. */
static unsigned choose(struct rl_runq *q)
{
	unsigned waits = 0;
	for (unsigned p = 0; p < RL_PRIORITIES; p++)
		waits |= (unsigned)(q->len[p] > 0) << p;
	return rl_runq_favour(q->favoured, waits);
}

struct rl_task *rl_runq_take_chosen(struct rl_runq *q)
{
	unsigned p = RL_NORMAL;
	if (q->backlog_len > 0 && (q->len[RL_NORMAL] == 0 || ++q->since_backlog >= RL_FAIR))
		serve_backlog(q, q->len[RL_NORMAL] == 0 ? RL_QUEUE_SHORT / 4 : 1);
	if (q->len[RL_CRITICAL] + q->len[RL_BACKGROUND] > 0)
		p = choose(q);
	q->len[p]--;
	return rl_container(rl_list_pop(&q->tasks[p]), struct rl_task, clause.link);
}
