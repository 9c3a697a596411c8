/* SPDX-License-Identifier: MIT */
/*
 * ring: the two queues shared with the kernel, and the one way into it. liburing sets them up; the
 * hot path is here, because "enter at most once" needs to know about every system call.
 *
 * Invariants: `sq_tail` counts the entries written; the kernel sees them at the next enter and
 * takes them in order, so an entry never overtakes an earlier one, and one it did not take stays.
 * Completions are copied out before anyone acts on them.
 */
#ifndef RL_OS_RING_H
#define RL_OS_RING_H

#include "os/uring_compat.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct rl_ring {
	struct io_uring uring;
	unsigned sq_tail, sq_mask, sq_entries, cq_mask;
	unsigned enter_flags; /* of every enter: registered descriptor, no iowait */
	int enter_fd;
};

struct rl_cqe {
	uint64_t data;
	int32_t res;
	uint32_t flags;
};

/* `sq_entries` and `cq_entries` are rounded up to powers of two by the kernel. 0 or -errno. */
int rl_ring_open(struct rl_ring *r, unsigned sq_entries, unsigned cq_entries);
void rl_ring_close(struct rl_ring *r);

/* Submit what is queued, run deferred kernel work, and wait for `wait_count` completions (0: do not
 * wait) for at most `timeout_ns` (-1: no limit). One system call. Entries taken or -errno. */
int rl_ring_enter(struct rl_ring *r, unsigned wait_count, int64_t timeout_ns);

/* Submit what is queued and nothing else: no completion is reaped. */
int rl_ring_flush(struct rl_ring *r);

/* Copy out at most `max` completions and give their places back. */
unsigned rl_ring_collect(struct rl_ring *r, struct rl_cqe *out, unsigned max);

/* Entries that the kernel has not taken. */
static inline unsigned rl_ring_queued(const struct rl_ring *r)
{
	return r->sq_tail - __atomic_load_n(r->uring.sq.khead, __ATOMIC_ACQUIRE);
}

/* Completions that can be collected. */
static inline unsigned rl_ring_completed(const struct rl_ring *r)
{
	return __atomic_load_n(r->uring.cq.ktail, __ATOMIC_ACQUIRE) - *r->uring.cq.khead;
}

static inline unsigned rl_ring_flags(const struct rl_ring *r)
{
	return __atomic_load_n(r->uring.sq.kflags, __ATOMIC_RELAXED);
}

/* The kernel has deferred work, or completions that found the queue full. */
static inline bool rl_ring_is_flagged(const struct rl_ring *r)
{
	return (rl_ring_flags(r) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* The next submission entry, zeroed, to be filled in before the next call; NULL when full. */
static inline struct io_uring_sqe *rl_ring_sqe(struct rl_ring *r)
{
	if (rl_ring_queued(r) >= r->sq_entries)
		return NULL;
	struct io_uring_sqe *sqe = &r->uring.sq.sqes[r->sq_tail++ & r->sq_mask];
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

#endif
