/* SPDX-License-Identifier: MIT */
/*
 * urgency: that what is critical need not wait for a turn to end, nor for a slice.
 *
 * A turn runs all that was ready when it began, and the kernel is looked at behind it; a task may
 * compute for a slice. Who is critical would wait for both. So while there may be such - a
 * classifier is active, or a task is not of normal priority - a turn ends early when a look at the
 * kernel is worth while, and the watchdog has the running task interrupted when somebody who goes
 * before it is there, or may be. Otherwise none of this costs anything.
 *
 * What others have written meanwhile is not sent with every such look, but some of it together; and
 * never so much that who is critical would have to wait for it.
 *
 * From outside, a *word* in shared memory may be raised when something critical arrives for this
 * shard: that is seen at once, and the kernel is asked more rarely without it. The word can be
 * ahead of the data, so the shard then looks again for some time - for no more than a share of its
 * time, whatever the word does. It is a hint: nothing is lost if it never changes.
 */
#ifndef RL_RT_URGENCY_H
#define RL_RT_URGENCY_H

#include <stdbool.h>
#include <stdint.h>

struct rl_shard;

/* In shared memory; another writes it. */
struct rl_urgent {
	volatile uint64_t word;  /* how often something critical arrived */
	volatile uint64_t at_ns; /* CLOCK_MONOTONIC when it did last; 0: not known */
};

struct rl_urgency {
	unsigned sources;          /* classifiers, and live tasks that are not of normal priority */
	const struct rl_urgent *urgent; /* NULL: nobody tells */
	uint64_t seen;             /* the word when it was seen last */
	int64_t polled_ns;         /* when the kernel was looked at last */
	int64_t arrived_ns;        /* when something critical was received last */
	int64_t until_ns;          /* look again until then, 0: no need */
	int64_t allowance_ns;      /* for looking again */
	bool ending;               /* this turn is to end */
	bool critical;             /* something critical was done in it */
	int64_t flushed_ns;        /* when all that I/O objects had was queued last */
	unsigned fronted;          /* how often in a row the task at the front was interrupted */
	uint64_t fronted_id;       /* which that is */
	uint64_t hints, spurious;  /* times the word rose; times nothing came of it */
};

/* One more or less reason to look. */
void rl_urgency_add(struct rl_shard *s, int n);
/* Take a word into use, or with NULL out of it; it stays mapped meanwhile. */
void rl_urgency_watch(struct rl_shard *s, const struct rl_urgent *urgent);
/* Something critical has been received. */
void rl_urgency_arrived(struct rl_shard *s);

/* Between two tasks, when there are sources: is the turn to end, for a look at the kernel?
 * `priority`: of the one that ran. */
bool rl_urgency_ends_turn(struct rl_shard *s, unsigned priority);
/* Between two things that a task does, likewise: is its run to end, for that or because somebody is
 * runnable who goes before what is `next`? */
bool rl_urgency_gives_way(struct rl_shard *s, unsigned priority, unsigned next);
/* The turn is over: how many I/O objects may queue what they have; the others wait for a later. */
unsigned rl_urgency_flushes(struct rl_shard *s);
/* Before the kernel is looked at: the word has risen, wait until there is something to be had. */
void rl_urgency_await(struct rl_shard *s);
/* The kernel was looked at. */
void rl_urgency_polled(struct rl_shard *s);

/* Async-signal context, on the shard's thread, while a task runs: is it to be interrupted? */
bool rl_urgency_interrupts(const struct rl_shard *s);

#endif
