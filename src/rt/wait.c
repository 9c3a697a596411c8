/* SPDX-License-Identifier: MIT */
/*
 * wait: clauses in, one out.
 *
 * Invariants: a parked task's clauses are linked on wait queues and its deadline may be set; a task
 * in any other state has neither. `more` holds only live clauses and is freed when the wait ends.
 * Whoever ends the wait of a task that is PARKED_SHARED has claimed its ticket before.
 */
#include "rt/wait.h"

#include "base/check.h"
#include "base/err.h"
#include "base/slab.h"
#include "rt/ticket.h"
#include "rt/trace.h"

#include <stdlib.h>

static void clause_link(struct rl_clause *c, struct rl_waitq *q, unsigned index, unsigned offer)
{
	RL_DEBUG_ASSERT(rl_list_empty(&c->link));
	c->index = (uint16_t)index;
	c->offer = (uint16_t)offer;
	rl_list_push(&q->waiters, &c->link);
}

/* Unlink every clause and the deadline: from here on nothing can end this wait again. */
static void wait_unlink(struct rl_shard *s, struct rl_task *t)
{
	rl_list_remove(&t->clause.link);
	for (unsigned i = 0; i < t->more_len; i++)
		rl_list_remove(&t->more[i].link);
	t->more_len = 0;
	if (t->more) {
		free(t->more);
		t->more = NULL;
	}
	struct rl_deadline *d = t->deadline;
	if (!d)
		return;
	t->deadline = NULL;
	rl_wheel_cancel(s->deadlines, &d->timer);
	if (t->state == RL_TASK_PARKED_SHARED)
		rl_ticket_close(s, rl_ticket_at(d));
	else
		rl_slab_put(s->due, d, d->slot);
}

void rl_wait_add(struct rl_task *t, struct rl_waitq *q, unsigned index, unsigned offer)
{
	clause_link(&t->clause, q, index, offer);
}

int rl_wait_reserve(struct rl_task *t, unsigned n)
{
	RL_DEBUG_ASSERT(!t->more);
	t->more = malloc(n * sizeof *t->more);
	return t->more ? 0 : -ENOMEM;
}

void rl_wait_add_more(struct rl_task *t, struct rl_waitq *q, unsigned index, unsigned offer)
{
	struct rl_clause *c = &t->more[t->more_len++];
	rl_list_init(&c->link);
	c->task = t;
	clause_link(c, q, index, offer);
}

static void enter(struct rl_shard *s, struct rl_task *t, unsigned state, unsigned reason)
{
	RL_ASSERT(t->state == RL_TASK_RUNNING);
	t->state = (uint8_t)state;
	t->reason = (uint8_t)reason;
	t->result = 0;
	t->results = 0;
	rl_task_set_since(t, rl_task_ticks(s->now_ns));
	s->counts.parks++;
	rl_traced(s, RL_TRACE_PARK, reason & RL_REASON_MASK, t);
}

static void set_deadline(struct rl_shard *s, struct rl_deadline *d, int64_t deadline_ns)
{
	rl_wheel_set(s->deadlines, &d->timer, deadline_ns);
	if (s->due_ns < 0 || deadline_ns < s->due_ns)
		s->due_ns = deadline_ns;
}

void rl_wait_park(struct rl_shard *s, struct rl_task *t, unsigned reason, int64_t deadline_ns)
{
	enter(s, t, RL_TASK_PARKED, reason);
	if (deadline_ns < 0)
		return;
	uint32_t slot;
	struct rl_deadline *d = rl_slab_get(s->due, &slot);
	if (!d) {
		rl_wait_end(s, t, -ENOMEM);
		return;
	}
	rl_timer_init(&d->timer);
	d->task = t;
	d->slot = slot;
	t->deadline = d;
	set_deadline(s, d, deadline_ns);
}

void rl_wait_park_shared(struct rl_shard *s, struct rl_ticket *k, unsigned reason,
	int64_t deadline_ns)
{
	struct rl_task *t = k->due.task;
	enter(s, t, RL_TASK_PARKED_SHARED, reason);
	rl_ticket_parked(s, k);
	t->deadline = &k->due;
	if (deadline_ns >= 0)
		set_deadline(s, &k->due, deadline_ns);
}

void rl_wait_retract(struct rl_shard *s, struct rl_task *t)
{
	RL_ASSERT(t->state == RL_TASK_RUNNING);
	wait_unlink(s, t);
}

/* A wait has ended: how long was it? */
static inline void measure(struct rl_shard *s, const struct rl_task *t)
{
	struct rl_histogram *h = &s->measure->waits[t->reason & RL_REASON_MASK];
	uint64_t ticks = rl_task_ticks(s->now_ns) - rl_task_since(t);
	if (ticks == 0)
		rl_histogram_record_zero(h);
	else
		rl_measure_span(h, ticks);
}

void rl_wait_fire(struct rl_shard *s, struct rl_clause *c, unsigned results, int result)
{
	struct rl_task *t = c->task;
	RL_ASSERT(rl_task_is_parked(t));
	t->fired = c->index;
	t->results = (uint16_t)results;
	t->result = (int16_t)result;
	wait_unlink(s, t);
	measure(s, t);
	rl_traced_ready(s, t, RL_TRACE_FIRED);
	rl_ready(s, t);
}

static enum rl_trace_cause cause_of(int result)
{
	if (result == -ETIMEDOUT)
		return RL_TRACE_TIMED_OUT;
	return result == -RL_ECANCEL ? RL_TRACE_CANCELLED : RL_TRACE_FIRED;
}

void rl_wait_end(struct rl_shard *s, struct rl_task *t, int result)
{
	RL_ASSERT(rl_task_is_parked(t));
	if (t->state == RL_TASK_PARKED_SHARED && !rl_ticket_claim(rl_ticket_at(t->deadline)))
		return;
	wait_unlink(s, t);
	measure(s, t);
	t->fired = 0;
	t->result = (int16_t)result;
	rl_traced_ready(s, t, cause_of(result));
	rl_ready(s, t);
}

void rl_wait_arrive(struct rl_shard *s, struct rl_task *t, unsigned index, int result)
{
	RL_ASSERT(t->state == RL_TASK_PARKED_SHARED);
	t->fired = (uint16_t)index;
	t->result = (int16_t)result;
	wait_unlink(s, t);
	measure(s, t);
	rl_traced_ready(s, t, RL_TRACE_FIRED);
	rl_ready(s, t);
}

void rl_wait_abandon(struct rl_shard *s, struct rl_task *t)
{
	RL_ASSERT(t->state != RL_TASK_RUNNING);
	if (t->state == RL_TASK_PARKED_SHARED && t->deadline)
		rl_ticket_claim(rl_ticket_at(t->deadline));
	if (s->sampled == t)
		s->sampled = NULL;
	if (!rl_task_is_parked(t))
		rl_runq_remove(&s->runq, t);
	wait_unlink(s, t);
}

struct rl_clause *rl_waitq_first_open(const struct rl_waitq *q)
{
	for (struct rl_list *l = q->waiters.next; l != &q->waiters; l = l->next) {
		struct rl_clause *c = rl_container(l, struct rl_clause, link);
		struct rl_task *t = c->task;
		if (t->state != RL_TASK_PARKED_SHARED || rl_ticket_claim(rl_ticket_at(t->deadline)))
			return c;
	}
	return NULL;
}

unsigned rl_waitq_wake(struct rl_shard *s, struct rl_waitq *q, int result, bool all)
{
	unsigned n = 0;
	struct rl_clause *c = rl_waitq_first(q);
	while (c) {
		rl_wait_fire(s, c, 0, result);
		n++;
		c = all ? rl_waitq_first(q) : NULL;
	}
	return n;
}
