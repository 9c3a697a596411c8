/* SPDX-License-Identifier: MIT */
/*
 * sbarrier: a meeting point of tasks on any shards, which can be used again and again. Who gives up
 * waiting does not count.
 */
#ifndef RL_RT_SBARRIER_H
#define RL_RT_SBARRIER_H

#include "rt/squeue.h"

struct rl_sbarrier;

extern const struct rl_shared_class rl_sbarrier_class;

/* Of n tasks, at least 1. With one reference; NULL when there is no memory. Its first member is its
 * rl_shared. */
struct rl_sbarrier *rl_sbarrier_new(uint32_t n);

/* Wait until n tasks have come. Above 0: this one was the last, the n-th; 0: the task has parked,
 * and is woken with the place in which it came; -ETIMEDOUT, -ENOMEM. Woken with -EAGAIN it has to
 * call again: another gave up at the very moment when the last one came. */
int64_t rl_sbarrier_wait(struct rl_shard *s, struct rl_task *t, struct rl_sbarrier *b,
	int64_t deadline_ns);

/* How many wait now, and for how many it is. */
uint32_t rl_sbarrier_waiting(struct rl_sbarrier *b);
uint32_t rl_sbarrier_size(const struct rl_sbarrier *b);

#endif
