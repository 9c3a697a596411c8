/* SPDX-License-Identifier: MIT */
/*
 * beacon: the state of a shard in memory that others read as it changes: programs in the kernel
 * that place connections, above all. The memory is whoever's gave it; the shard alone writes to it,
 * plain stores, each word true for itself.
 */
#ifndef RL_RT_BEACON_H
#define RL_RT_BEACON_H

#include <stdint.h>

struct rl_shard;
struct rl_task;

/* A cache line of its own. Times are CLOCK_MONOTONIC. */
struct rl_beacon {
	uint64_t beat_ns;      /* when the loop turned, or began to run a task, last */
	uint64_t run_since_ns; /* since when the running task runs; 0: none does */
	uint64_t task;         /* id of the one that runs or did last */
	uint32_t runnable;     /* tasks in the run queue */
	uint32_t idle;         /* 1: it sleeps in the kernel until something comes */
	uint32_t live;         /* tasks */
	uint32_t tid;          /* its thread */
	uint64_t conns;        /* descriptors of its network objects */
	uint64_t reserved[2];
};

_Static_assert(sizeof(struct rl_beacon) == 64, "a cache line, and what programs in bpf/ know");

/* Show the state in `b`, which is 64-byte aligned, from now on; with NULL no more. */
void rl_beacon_use(struct rl_shard *s, struct rl_beacon *b);

/* By the loop of a shard that has one: a task is run; a turn is over; it goes to sleep. */
void rl_beacon_run(struct rl_shard *s, const struct rl_task *t);
void rl_beacon_turn(struct rl_shard *s);
void rl_beacon_sleep(struct rl_shard *s);

#endif
