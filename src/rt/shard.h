/* SPDX-License-Identifier: MIT */
/*
 * shard: one thread's scheduler. A run queue, the deadlines, the kernel seam, and the loop that
 * turns them; all mutable state of the runtime hangs from here.
 *
 * One turn runs what was ready when it began (of a short queue, up to RL_RUNS_PER_TURN tasks), then
 * fires what is due, lets the I/O objects queue their operations, and polls the kernel - so nothing
 * can starve I/O. A task that used up its slice ends the turn, and so does what may be critical
 * (urgency.h). The kernel is entered only when operations wait to be submitted or completions to be
 * reaped, when nothing is runnable, or after RL_TURNS_PER_POLL turns. The floor above is reached
 * through `struct rl_vm` and nothing else.
 */
#ifndef RL_RT_SHARD_H
#define RL_RT_SHARD_H

#include "os/os.h"
#include "rt/runq.h"
#include "rt/urgency.h"

#include <signal.h>
#include <stdatomic.h>

#ifndef RL_TURNS_PER_POLL
#define RL_TURNS_PER_POLL 61
#endif
#ifndef RL_TURNS_PER_CLOCK
#define RL_TURNS_PER_CLOCK 8
#endif
#ifndef RL_RUNS_PER_TURN
#define RL_RUNS_PER_TURN 8
#endif

struct rl_beacon;
struct rl_fleet;
struct rl_job;
struct rl_measure;
struct rl_net;
struct rl_shard;
struct rl_slab;
struct rl_tickets;
struct rl_trace;
struct rl_waiter;

/* What became of a task that was run. */
enum rl_ran {
	RL_RAN_PARKED,  /* it has live clauses, or was readied again before it gave up its turn */
	RL_RAN_YIELDED, /* it used up its slice: to the end of the queue, behind what is due by now */
	RL_RAN_ENDED,   /* returned or failed; the binding has taken its results */
};

/* The floor above. */
struct rl_vm {
	enum rl_ran (*run)(void *vm, struct rl_task *t);
	/* Called when nothing is runnable, before the shard sleeps; true: there is more to do. */
	bool (*idle)(void *vm);
	/* Async-signal context, on the shard's thread: make the running task give up its turn soon. */
	void (*preempt)(void *vm);
	/* Called after alarms have fired, which may have left work for this moment. NULL: nothing. */
	void (*fired)(void *vm);
	/* A waiter has come home, to a task that waited with it: put on its stack what it brings and
	 * set t->results (0: it brings only a code). The waiter is the callee's. NULL: it is freed. */
	void (*arrived)(void *vm, struct rl_task *t, struct rl_waiter *w);
	/* Of a fleet. A job begins here (the task that runs it ends it); one that was submitted here
	 * has ended. */
	void (*job_begin)(void *vm, struct rl_job *job);
	void (*job_ended)(void *vm, struct rl_job *job);
	/* In the loop, after another thread has set `nudged` and woken the seam. NULL: nothing. */
	void (*nudged)(void *vm);
	/* Bytes of its heap. NULL: none. */
	uint64_t (*heap)(void *vm);
	void *self;
};

/* An object with a deadline that is not a task: tickers, connection timeouts. `fire` runs in the
 * loop; it may ready tasks, never resume one. */
struct rl_alarm {
	struct rl_timer timer;
	void (*fire)(struct rl_alarm *a);
};

/* An I/O object with work to queue before the kernel is entered next. */
struct rl_dirty {
	struct rl_list link;
	void (*flush)(struct rl_dirty *d);
};

struct rl_counts {
	uint64_t created, finished, parks, turns, polls, preemptions, overruns;
	uint64_t received, sent; /* bytes of streams */
	uint64_t classified[RL_PRIORITIES], over; /* messages; those that a budget made normal */
};

struct rl_shard {
	struct rl_runq runq;
	struct rl_task *current;
	struct rl_trace *trace;    /* what it records into; NULL: nothing is recorded */
	struct rl_task *interrupted; /* runnable behind what this turn brings */
	struct rl_waitq resting;   /* who gave up its run for who goes before: until the turn is over */
	struct rl_urgency urgency;
	struct rl_beacon *beacon;  /* where it shows its state; NULL: nowhere */
	struct rl_os *os;          /* NULL outside run */
	struct rl_wheel *deadlines, *alarms;
	int64_t now_ns;            /* the clock when it was read last */
	bool waited;               /* that was before the wait whose end is under way */
	unsigned fired;            /* how many timers were due when some were last */
	int64_t due_ns;            /* earliest deadline, -1 none; may be too early, never too late */
	struct rl_list dirty;
	struct rl_slab *tasks, *due; /* records of tasks, and of their deadlines */
	struct rl_tickets *tickets; /* of waits that other shards may end; NULL until the first */
	struct rl_list warm;       /* records of ended tasks that kept their `co`, used first */
	unsigned warm_len;
	struct rl_fleet *fleet;    /* the shards it works with; NULL: it is alone */
	unsigned index;            /* its seat among them */
	bool closing;              /* of a fleet: leave the loop */
	struct rl_net *net;        /* what its network objects share; NULL until the first */
	unsigned nets;             /* made so far */
	int notes_fd;              /* the map in which it notes whose sockets are; -1: none */
	struct rl_vm vm;
	uint64_t next_id;
	unsigned live, daemons;    /* tasks, and how many of them are daemons */
	unsigned holds;            /* servers and the like that keep run alive */
	unsigned turn_left;        /* how many tasks this turn may still run */
	unsigned since_poll, since_clock;
	struct rl_counts counts;
	struct rl_measure *measure; /* what others may read of all this */
	const struct rl_task *sampled; /* how long until it runs is measured */
	unsigned sample_in;        /* how many tasks become ready until one is */
	const volatile uint32_t *home; /* a page that a fork finds wiped; NULL: not to be had */
	/* For the watchdog's eyes: written by the shard's thread, read by the watchdog's. */
	_Atomic uint32_t run_seq;  /* odd while a task runs: how often one began or ended a turn */
	_Atomic uint32_t overran;  /* the watchdog's word: run number that did not obey; 0 none */
	_Atomic bool unwatched;    /* the watchdog sleeps: wake it when a task is run */
	_Atomic bool urgent;       /* a run that lasts a tick is to be asked whether it may go on */
	_Atomic uint32_t sliced;   /* the watchdog's word: run number that used up its slice */
	volatile sig_atomic_t urged; /* the running task was asked to let somebody else go first */
	/* Since when the running task stalls the shard, 0: it does not. Any thread may ask. */
	_Atomic int64_t stalled_ns;
	_Atomic uint64_t running_id; /* of the task that runs, or did last; any thread may ask */
	_Atomic bool nudged;       /* set by any thread, before it wakes the seam */
};

/* Why rl_shard_loop returned. */
enum rl_loop_end {
	RL_LOOP_DONE = 0,     /* no task but daemons lives, and nothing holds the loop */
	RL_LOOP_DEADLOCK = 1, /* tasks live, all parked, and nothing can wake one */
	                      /* of a fleet the first seat says both, for all; others leave when told */
	RL_LOOP_PAUSED = 3,   /* of a simulated fleet: a turn is over, it is another shard's */
	RL_LOOP_BROKEN = 2,   /* a signal interrupted the wait, or the loop was asked to break */
	/* or a negative code of the seam */
};

int rl_shard_init(struct rl_shard *s, const struct rl_vm *vm);
void rl_shard_term(struct rl_shard *s); /* idempotent */

/* Take a backend into use, and give it up. Records of tasks survive neither. */
int rl_shard_open(struct rl_shard *s, const char *backend, const struct rl_os_config *config,
	const char **why);
int rl_shard_close(struct rl_shard *s);
/* The same but for the seam, which another thread may still look at: it and what the kernel can see
 * through it are kept for good. */
void rl_shard_forsake(struct rl_shard *s);

/* A new task at the end of the run queue; NULL when there is no memory or RL_TASKS_MAX live. */
struct rl_task *rl_task_new(struct rl_shard *s, unsigned flags);
/* Any live task; where it is runnable it moves to the end of the other queue. */
void rl_task_set_priority(struct rl_shard *s, struct rl_task *t, unsigned priority);
/* Put a task that gives up its turn behind all of its priority. */
void rl_ready_last(struct rl_shard *s, struct rl_task *t);

/* By the loop, after RL_RAN_ENDED; or after rl_wait_abandon. A record that has a `co` keeps it for
 * the next task. */
void rl_task_free(struct rl_shard *s, struct rl_task *t);
/* Take the `co` of a warm record, which is freed, and its slot; NULL when there is none. */
void *rl_task_take_warm(struct rl_shard *s, uint32_t *slot);
struct rl_task *rl_task_at(const struct rl_shard *s, uint32_t slot); /* NULL: no live task */

static inline unsigned rl_shard_runnable(const struct rl_shard *s)
{
	return rl_runq_len(&s->runq);
}

/* One turn. Returns completions delivered, or a negative code. */
int rl_shard_turn(struct rl_shard *s);
/* Turns until one of enum rl_loop_end; `brk`, if set by a signal handler or hook, breaks. */
int rl_shard_loop(struct rl_shard *s, volatile sig_atomic_t *brk);

/* The earlier of two times, -1 being never. */
static inline int64_t rl_sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* Fresh monotonic time; also what a deadline is reckoned from. */
int64_t rl_shard_now(struct rl_shard *s);
/* Has another thread a word for it? */
static inline bool rl_shard_is_nudged(const struct rl_shard *s)
{
	return atomic_load_explicit(&s->nudged, memory_order_relaxed) && s->vm.nudged;
}

/* When what a completion brings has come: not when the wait for it began. */
static inline int64_t rl_shard_came(struct rl_shard *s)
{
	return s->waited ? rl_shard_now(s) : s->now_ns;
}

void rl_alarm_init(struct rl_alarm *a, void (*fire)(struct rl_alarm *a));
/* Moves it if it is set. */
void rl_alarm_set(struct rl_shard *s, struct rl_alarm *a, int64_t deadline_ns);
void rl_alarm_stop(struct rl_shard *s, struct rl_alarm *a);

static inline bool rl_alarm_is_set(const struct rl_alarm *a)
{
	return rl_timer_is_set(&a->timer);
}

/* False in a process forked from the one that made the shard. */
static inline bool rl_shard_is_home(const struct rl_shard *s)
{
	return !s->home || *s->home;
}

/* By the floor above, around the code of a task: what the watchdog looks at. One writer, so no
 * locked instruction is needed; `unwatched` is read after this, see watch.c. */
static inline void rl_shard_running(struct rl_shard *s, bool runs)
{
	uint32_t seq = atomic_load_explicit(&s->run_seq, memory_order_relaxed);
	atomic_store_explicit(&s->run_seq, (seq | 1) + !runs, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

/* Ask for `d->flush` before the kernel is entered next; idempotent. What a critical task has is
 * queued first. */
static inline void rl_shard_mark(struct rl_shard *s, struct rl_dirty *d)
{
	if (!rl_list_empty(&d->link))
		return;
	if (s->current && s->current->priority == RL_CRITICAL)
		rl_list_push_front(&s->dirty, &d->link);
	else
		rl_list_push(&s->dirty, &d->link);
}

#endif
