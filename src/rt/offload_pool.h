/* SPDX-License-Identifier: MIT */
/* offload_pool: the inside of a pool, for offload.c and call.c alone. */
#ifndef RL_RT_OFFLOAD_POOL_H
#define RL_RT_OFFLOAD_POOL_H

#include "rt/call.h"
#include "rt/offload.h"

#include <pthread.h>

/* Where a call is. Changed under the pool's lock. */
enum rl_call_state { CALL_NEW, CALL_LINED, CALL_QUEUED, CALL_RUNNING, CALL_ENDED, CALL_WITHDRAWN };

struct rl_offload {
	struct rl_shared shared;
	const struct rl_offload_vm *vm;
	void *arg;
	pid_t home;
	char name[RL_OFFLOAD_NAME_MAX];
	int64_t idle_ns;
	unsigned threads_min, queue_max;
	pthread_mutex_t lock;     /* of all that follows */
	pthread_cond_t changed;   /* a helper has ended */
	struct rl_list line, queue, helpers, idle, ended;
	unsigned threads_max, lined, queued, running, live, idle_len, peak;
	unsigned ending;          /* of the live ones: they take no more calls */
	unsigned coming;          /* of the live ones: started or woken, and not up yet */
	uint64_t done;
	bool closing, abandoned, orphaned;
	void *inlined;            /* simulated: what all its calls run with */
	uint64_t numbers[RL_OFFLOAD_THREADS_MAX / 64 + 1]; /* bits: taken */
};

/* offload.c. The lock is held. */

/* Put a call where it waits: 0, 1 in line, or why not. */
int rl_offload_enqueue(struct rl_offload *p, struct rl_call *c, bool lines);
/* The next call to run, NULL when none waits. */
struct rl_call *rl_offload_pop(struct rl_offload *p);
/* Take a call that waits off its list. */
void rl_offload_unqueue(struct rl_offload *p, struct rl_call *c, enum rl_call_state state);
/* From the line to the queue, while there is room. Who was admitted is told; simulated, that is for
 * the caller to do, without the lock: it is on `told` then. */
void rl_offload_admit(struct rl_offload *p, struct rl_list *told);
/* It has run. */
void rl_offload_ended(struct rl_offload *p, struct rl_call *c);
/* Without the lock: the thread that runs it, if one does, gets SIGURG. */
void rl_offload_interrupt(struct rl_offload *p, const struct rl_call *c);

/* call.c. References go along, but for: */
struct rl_call *rl_call_get(struct rl_call *c);

/* Any thread: this work of the call's, with *sent saying so, comes home. */
void rl_call_send(struct rl_call *c, struct rl_work *w, bool *sent);
/* Simulated: shard `s`, whose turn it is (NULL: nobody's), brings news of a call home. */
void rl_call_bring(struct rl_shard *s, struct rl_call *c);
/* The same for those that were admitted. */
void rl_call_tell(struct rl_shard *s, struct rl_list *told);
/* Simulated: hand the next calls to their shards, as many as there would be threads. */
void rl_call_next(struct rl_offload *p, struct rl_shard *s);

#endif
