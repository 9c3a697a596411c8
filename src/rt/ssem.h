/* SPDX-License-Identifier: MIT */
/*
 * ssem: a weighted semaphore that shards share. Who waits is served in the order of coming: a large
 * request is not starved by small ones that come later, and they go on when it gives up.
 */
#ifndef RL_RT_SSEM_H
#define RL_RT_SSEM_H

#include "rt/squeue.h"

struct rl_ssem;

extern const struct rl_shared_class rl_ssem_class;

/* With one reference; NULL when there is no memory. Its first member is its rl_shared. */
struct rl_ssem *rl_ssem_new(uint64_t size);

/* 1: the tokens are the caller's; 0: the task has parked, and has them when it is woken without a
 * code; -ETIMEDOUT, -ENOMEM; -EINVAL: there are not so many. */
int rl_ssem_acquire(struct rl_shard *s, struct rl_task *t, struct rl_ssem *sem, uint64_t n,
	int64_t deadline_ns);
bool rl_ssem_try_acquire(struct rl_shard *s, struct rl_ssem *sem, uint64_t n);

/* -EOVERFLOW: more than were taken; nothing is changed then. */
int rl_ssem_release(struct rl_shard *s, struct rl_ssem *sem, uint64_t n);

/* Tokens that nobody has, and all. */
uint64_t rl_ssem_available(struct rl_ssem *sem);
uint64_t rl_ssem_size(const struct rl_ssem *sem);

#endif
