/* SPDX-License-Identifier: MIT */
/*
 * measure: what a shard tells of itself to whoever asks, from any thread, without being asked: its
 * counters, how long tasks waited, ran and had to wait to run, and how many have which label.
 *
 * The hot path counts in the shard's own plain fields (struct rl_counts). They are published here,
 * all of them at one moment: before the shard sleeps, and while it is busy whenever it polls and
 * a millisecond has passed. So created - finished is always what lives. A reader never makes a
 * shard wait, and one that is stuck is read as well as any other.
 *
 * Waits are measured with the shard's clock as it was last read (at least every RL_TURNS_PER_CLOCK
 * turns). The time from ready to running is shorter than that clock's steps: one task in
 * RL_SAMPLE_EVERY is measured with a fresh one, as Go's runtime does.
 */
#ifndef RL_RT_MEASURE_H
#define RL_RT_MEASURE_H

#include "base/histogram.h"
#include "os/op.h"
#include "rt/task.h"

#ifndef RL_SAMPLE_EVERY
#define RL_SAMPLE_EVERY 64
#endif
/* Listening sockets of a shard that others know of. */
#ifndef RL_LISTENING_MAX
#define RL_LISTENING_MAX 64
#endif
#ifndef RL_LABELS_MAX
#ifdef RL_TINY
#define RL_LABELS_MAX 8
#else
#define RL_LABELS_MAX 4096
#endif
#endif

struct rl_series;
struct rl_shard;

/* Published together; names in measure.c. */
enum rl_measured {
	RL_M_CREATED,
	RL_M_FINISHED,
	RL_M_DAEMONS,
	RL_M_RUNNABLE,
	RL_M_RUNNING,
	RL_M_PARKS,
	RL_M_TURNS,
	RL_M_POLLS,
	RL_M_PREEMPTIONS,
	RL_M_OVERRUNS,
	RL_M_JOBS,
	RL_M_STEALS,
	RL_M_MESSAGES,
	RL_M_WAKES,
	RL_M_SUBMITTED,
	RL_M_COMPLETED,
	RL_M_ENTERS,
	RL_M_IN_FLIGHT,
	RL_M_WORKS,
	RL_M_RECEIVED,
	RL_M_SENT,
	RL_M_CONNECTIONS,
	RL_M_CRITICAL,
	RL_M_NORMAL,
	RL_M_BACKGROUND,
	RL_M_OVER_BUDGET,
	RL_M_TIMERS,
	RL_M_HEAP,
	RL_M_OPS,                             /* one for each kind of operation */
	RL_MEASURES = RL_M_OPS + RL_OP_KINDS,
};

/* What the floor above calls a set of labels. */
struct rl_name {
	struct rl_name *next; /* of those that are no longer in use */
	char text[];
};

/* Tasks with one set of labels. */
struct rl_label {
	_Atomic uint64_t live, begun;
	uint64_t seen;                /* `begun` when it was last looked at, to be reused */
	struct rl_name *_Atomic name; /* NULL: not in use */
};

struct rl_measure {
	_Atomic unsigned refs;
	_Atomic uint32_t seq;               /* odd while it is published */
	_Atomic uint64_t published[RL_MEASURES];
	int64_t published_ns;
	struct rl_histogram waits[RL_REASONS]; /* seconds; of waits that have ended */
	struct rl_histogram lifetimes, latencies, collections; /* seconds */
	struct rl_label *_Atomic labels;    /* RL_LABELS_MAX of them; NULL until the first */
	_Atomic unsigned labels_len;
	unsigned label_hand;                /* where a set to be reused was found last */
	_Atomic unsigned readers;           /* who look at names of labels */
	struct rl_name *retired;
	struct rl_series *_Atomic series;   /* what users measure; see series.h */
	unsigned series_len;
	_Atomic uint32_t tid;               /* the shard's thread; 0: simulated, or not in a run */
	_Atomic int listening[RL_LISTENING_MAX]; /* descriptors + 1; 0: free */
	int64_t sampled_ns;                 /* when the sample of latencies became ready */
};

/* NULL without memory. One reference. */
struct rl_measure *rl_measure_new(void);
/* Any thread. NULL is fine. */
void rl_measure_put(struct rl_measure *m);
struct rl_measure *rl_measure_get(struct rl_measure *m);

const char *rl_measure_name(enum rl_measured what);

/* By the shard's thread: publish all counters. */
void rl_measure_publish(struct rl_shard *s);

/* Any thread: what was published last. */
void rl_measure_read(struct rl_measure *m, uint64_t out[RL_MEASURES]);

/* A number, from 1, for a set of labels that has none: 0 without memory, or when tasks have all
 * RL_LABELS_MAX - 1. A set that no task has loses its number to it when there are so many; which
 * ones began with it is counted for number 0 then. */
unsigned rl_measure_label(struct rl_measure *m, const char *name);

/* Any thread: call `fn` for each set, with how many live tasks have it and how many were given it;
 * with "" and 0, how many had sets that have lost their number. If `fn` leaves by a jump, names are
 * kept from then on until all is freed. */
void rl_measure_labels(struct rl_measure *m, void *to,
	void (*fn)(void *to, unsigned number, const char *name, uint64_t live, uint64_t begun));

/* Give a live task that set. */
void rl_measure_relabel(struct rl_measure *m, struct rl_task *t, unsigned label);

/* By the owner: a socket listens, and does no longer. Who finds all RL_LISTENING_MAX taken is not
 * told of. */
void rl_measure_listens(struct rl_measure *m, int fd, bool on);

/* Any thread: its listening sockets into `fds`; how many. They may be closed, and something else,
 * when they are looked at. */
unsigned rl_measure_listening(struct rl_measure *m, int fds[RL_LISTENING_MAX]);

/* The rare parts of what the loop measures. */
void rl_measure_span(struct rl_histogram *h, uint64_t ticks);
void rl_measure_sample(struct rl_shard *s, const struct rl_task *t);
void rl_measure_sampled(struct rl_shard *s);
void rl_measure_begun(struct rl_measure *m, unsigned label);
void rl_measure_ended(struct rl_measure *m, unsigned label);

#endif
