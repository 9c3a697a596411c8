/* SPDX-License-Identifier: MIT */
/*
 * satomic: an integer that shards share, on a cache line of its own, and waiting for it to change.
 * Every operation is one in a single order that all threads agree on. Addition wraps around.
 *
 * `s` is the shard whose thread this is: a change wakes who waits for it.
 */
#ifndef RL_RT_SATOMIC_H
#define RL_RT_SATOMIC_H

#include "rt/squeue.h"

struct rl_satomic;

extern const struct rl_shared_class rl_satomic_class;

/* With one reference; NULL when there is no memory. Its first member is its rl_shared. */
struct rl_satomic *rl_satomic_new(int64_t value);

int64_t rl_satomic_load(struct rl_satomic *a);
int64_t rl_satomic_add(struct rl_shard *s, struct rl_satomic *a, int64_t n);      /* the new */
int64_t rl_satomic_exchange(struct rl_shard *s, struct rl_satomic *a, int64_t n); /* the old */
/* Put `n` if `*expected` is there; else that becomes what is. */
bool rl_satomic_cas(struct rl_shard *s, struct rl_satomic *a, int64_t *expected, int64_t n);

/* Wait while `expected` is there. 1: it is not; 0: the task has parked, and is woken when something
 * else was seen there; -ETIMEDOUT, -ENOMEM. A change that is taken back at once may go unseen. */
int rl_satomic_wait(struct rl_shard *s, struct rl_task *t, struct rl_satomic *a, int64_t expected,
	int64_t deadline_ns);

#endif
