/* SPDX-License-Identifier: MIT */
/*
 * offload: pools of helper threads, for code that blocks or computes for long; one pool serves any
 * number of shards.
 *
 * A call waits in the pool's queue, runs on a helper thread and comes home to the shard that
 * submitted it. The queue is bounded: a call that finds it full is refused, or stands in line for
 * room, first come, first served. Threads start on demand, never more than `threads_max`, and end
 * when they had nothing to do for `idle_ns`, down to `threads_min`. A simulated shard has no helper
 * threads: its calls run inline, each after a seeded delay, as many at a time as there would be
 * threads.
 *
 * What runs a call is the floor above's: see struct rl_offload_vm.
 */
#ifndef RL_RT_OFFLOAD_H
#define RL_RT_OFFLOAD_H

#include "rt/shard.h"
#include "rt/value.h"

/* A thread's name has room for three digits. */
#define RL_OFFLOAD_THREADS_MAX 999
#define RL_OFFLOAD_NAME_MAX 32
/* How long the end of a pool waits for calls that run. */
#ifndef RL_OFFLOAD_END_NS
#define RL_OFFLOAD_END_NS 2000000000
#endif

struct rl_call;
struct rl_offload;

struct rl_offload_vm {
	/* Run a call on this thread, and leave its results in it. *self belongs to the thread: NULL at
	 * its first call, then what the last one left there. */
	void (*run)(void *arg, void **self, struct rl_call *c);
	void (*end)(void *self);  /* the thread ends; self is not NULL */
	void (*free)(void *arg);  /* the pool is gone */
};

struct rl_offload_config {
	unsigned threads_min, threads_max; /* threads_max is 1 to RL_OFFLOAD_THREADS_MAX */
	unsigned queue_max;                /* calls that wait for a thread */
	int64_t idle_ns;
	const char *name;
	const struct rl_offload_vm *vm;
	void *arg;                         /* the pool's, to be freed by vm->free */
};

struct rl_offload_stats {
	unsigned threads, idle, threads_max, queue_max;
	unsigned queued, lined, running; /* calls; `lined` ones wait for room in the queue */
	unsigned peak;                   /* the most threads there were */
	uint64_t done;                   /* calls that ran */
};

/* A counted object that shards share: rl_shared_put gives it up, as rl_offload_close does. */
extern const struct rl_shared_class rl_offload_class;

/* NULL when there is no memory; `arg` is then still the caller's. */
struct rl_offload *rl_offload_new(const struct rl_offload_config *config);
struct rl_shared *rl_offload_shared(struct rl_offload *p);
struct rl_offload *rl_offload_of(struct rl_shared *o); /* NULL when it is something else */
const char *rl_offload_name(const struct rl_offload *p);
void rl_offload_stats(struct rl_offload *p, struct rl_offload_stats *out);

/* Another threads_max, by the shard whose thread this is. Threads that are too many end when they
 * have no call. */
void rl_offload_resize(struct rl_offload *p, struct rl_shard *s, unsigned threads_max);

/* Likewise: take no further calls; those that wait come home with -RL_ECLOSED, those that run as
 * ever. Idempotent. */
void rl_offload_shut(struct rl_offload *p, struct rl_shard *s);

/* The same, wait for what runs until the monotonic `deadline_ns`, and end the threads. Idempotent.
 * -EBUSY: a call does not end; its thread, and all memory it can reach, is left to itself. */
int rl_offload_close(struct rl_offload *p, int64_t deadline_ns);

#endif
