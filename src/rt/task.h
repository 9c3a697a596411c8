/* SPDX-License-Identifier: MIT */
/*
 * task: the record of one task, and the clause, the one thing a task waits with.
 *
 * Invariants. A task is *either* on the run queue *or* has live clauses, never both: its own
 * clause's link is the run-queue link while it is ready. A record is addressed by its slot, which
 * is reused after the task ended; `id` never is. The record knows nothing of Lua: `co` belongs to
 * the binding, and may stay with a *warm* record between two tasks.
 */
#ifndef RL_RT_TASK_H
#define RL_RT_TASK_H

#include "base/list.h"
#include "base/wheel.h"

#include <stdint.h>

enum rl_task_state {
	RL_TASK_NEW,     /* on the run queue, never ran: owns no coroutine yet */
	RL_TASK_READY,   /* on the run queue */
	RL_TASK_RUNNING,
	RL_TASK_PARKED,
	RL_TASK_PARKED_SHARED, /* likewise; another shard may end the wait: see ticket.h */
};

enum {
	RL_TASK_CANCEL = 1 << 0,    /* every park point raises */
	RL_TASK_RAISED = 1 << 1,    /* ... and it has been told so at least once */
	RL_TASK_DAEMON = 1 << 2,    /* run does not wait for it */
	RL_TASK_WATCHED = 1 << 3,   /* the binding wants to hear of its end */
	RL_TASK_OVERRAN = 1 << 4,   /* its overrun was reported */
	RL_TASK_PREEMPTED = 1 << 5, /* gave up its turn from a hook: resume without values */
	RL_TASK_DROPPED = 1 << 6,   /* swallowed its cancel too often: not resumed again */
	RL_TASK_HANDLED = 1 << 7,   /* the binding has, or had, a handle that wants the results */
};

/* Why a task is parked: one reason for every kind of park. Names in task.c. */
enum rl_reason {
	RL_REASON_NONE,
	RL_REASON_SLEEP,
	RL_REASON_YIELD,
	RL_REASON_RECV,
	RL_REASON_SEND,
	RL_REASON_SELECT,
	RL_REASON_JOIN,
	RL_REASON_SCOPE,
	RL_REASON_EVENT,
	RL_REASON_LOCK,
	RL_REASON_SEMAPHORE,
	RL_REASON_WAITGROUP,
	RL_REASON_COND,
	RL_REASON_BARRIER,
	RL_REASON_ONCE,
	RL_REASON_TIMER,
	RL_REASON_ACCEPT,
	RL_REASON_CONNECT,
	RL_REASON_READ,
	RL_REASON_WRITE,
	RL_REASON_CLOSE,
	RL_REASON_RESOLVE,
	RL_REASON_OPEN,
	RL_REASON_SERVER,
	RL_REASON_OFFLOAD,
	RL_REASON_WAIT,
	RL_REASON_GROUP_CALL,
	RL_REASON_GROUP_CONTROL,
	RL_REASON_POOL_SUBMIT,
	RL_REASON_POOL_WORK,
	RL_REASON_ACQUIRE,
	RL_REASON_LIMITER,
	RL_REASONS,
	/* With one of these the binding puts what it was woken for on its stack. */
	RL_REASON_MASK = 63,
	RL_GIVES_STRING = 64,
	RL_GIVES_SLICE = 128,
	RL_GIVES_MESSAGE = RL_GIVES_STRING | RL_GIVES_SLICE,
};

_Static_assert(RL_REASONS <= RL_REASON_MASK, "a reason and what it gives fit a byte");

/* Who runs first, see runq.h. */
enum rl_priority {
	RL_CRITICAL,
	RL_NORMAL,
	RL_BACKGROUND,
	RL_PRIORITIES
};

struct rl_task;

/* Who waits, on which list, as which case of a select, and where on its stack the value it offers
 * lies (0: it offers none). */
struct rl_clause {
	struct rl_list link;
	struct rl_task *task;
	uint16_t index;
	uint16_t offer;
	uint32_t born_low;       /* of the own clause: see `born_high` of the task */
};

/* When a wait ends; apart from the record because most waits never end that way. While the task is
 * PARKED_SHARED it is that of its ticket. */
struct rl_deadline {
	struct rl_timer timer;
	struct rl_task *task;
	uint32_t slot;
};

/* What is waited for: tasks in the order they came. Embedded in every waitable. */
struct rl_waitq {
	struct rl_list waiters;
};

struct rl_task {
	struct rl_clause clause;
	struct rl_deadline *deadline; /* NULL: none */
	struct rl_clause *more;  /* a select's clauses beyond the first, `more_len` of them */
	void *co;                /* what runs it; NULL for a task that never ran, unless it is warm */
	uint64_t id : 48;
	uint64_t label : 16;     /* its set of labels, 0: none; see measure.h */
	uint32_t since_low;      /* when it parked, or was made: see rl_task_since */
	uint16_t since_high;
	uint16_t born_high;      /* when it was made, with the clause's born_low: rl_task_born */
	uint32_t slot : 24;
	uint32_t priority : 2;   /* enum rl_priority: rl_task_set_priority */
	uint32_t backlogged : 1; /* on the run queue, but in its backlog */
	int16_t result;          /* 0, or the code its wait ended with */
	uint16_t results;        /* values already on its stack for the resume */
	uint16_t fired;          /* which case of a select ended the wait, 0: a plain wait */
	uint16_t more_len;
	uint8_t raises;          /* cancels swallowed so far */
	uint8_t state, reason, flags;
};

_Static_assert(sizeof(struct rl_task) <= 88, "a million parked tasks are meant to be cheap");

const char *rl_reason_name(unsigned reason);

/* Times in a record: 1.024 us each, so that 48 bits last for nine years. */
static inline uint64_t rl_task_ticks(int64_t ns)
{
	return (uint64_t)ns >> 10;
}

static inline double rl_task_seconds(uint64_t ticks)
{
	return (double)ticks * 1.024e-6;
}

static inline void rl_task_set_since(struct rl_task *t, uint64_t ticks)
{
	t->since_low = (uint32_t)ticks;
	t->since_high = (uint16_t)(ticks >> 32);
}

static inline uint64_t rl_task_since(const struct rl_task *t)
{
	return (uint64_t)t->since_high << 32 | t->since_low;
}

static inline uint64_t rl_task_born(const struct rl_task *t)
{
	return (uint64_t)t->born_high << 32 | t->clause.born_low;
}

static inline void rl_waitq_init(struct rl_waitq *q)
{
	rl_list_init(&q->waiters);
}

static inline bool rl_task_is_parked(const struct rl_task *t)
{
	return t->state == RL_TASK_PARKED || t->state == RL_TASK_PARKED_SHARED;
}

/* The same for a queue on which the first may be PARKED_SHARED. */
struct rl_clause *rl_waitq_first_open(const struct rl_waitq *q);

/* The clause that waits longest and that nobody else is about to end, NULL when there is none. The
 * caller fires it, or ends its wait: if another shard could have done that, it no longer can. Who
 * only asks whether somebody may wait looks whether the list is empty. */
static inline struct rl_clause *rl_waitq_first(const struct rl_waitq *q)
{
	struct rl_list *l = rl_list_first(&q->waiters);
	if (!l)
		return NULL;
	struct rl_clause *c = rl_container(l, struct rl_clause, link);
	return c->task->state == RL_TASK_PARKED ? c : rl_waitq_first_open(q);
}

#endif
