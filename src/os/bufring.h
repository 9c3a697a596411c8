/* SPDX-License-Identifier: MIT */
/*
 * bufring: the provided buffers of one ring. The kernel takes one when bytes arrive, so a
 * connection that waits holds none.
 *
 * Invariants: a buffer is the kernel's or, between rl_bufring_lend and rl_bufring_put, its
 * receiver's; both sides of that hand-over are asserted. Buffer memory is touched when first used.
 */
#ifndef RL_OS_BUFRING_H
#define RL_OS_BUFRING_H

#include "base/check.h"
#include "os/uring_compat.h"

#include <stdbool.h>
#include <stddef.h>

struct rl_bufring {
	struct io_uring_buf_ring *ring;
	char *mem;
	bool *lent;       /* by buffer: owned by its receiver */
	unsigned count, size;
	int group;
};

/* `count` is a power of two, at most 32768. 0 or -errno. */
int rl_bufring_open(struct rl_bufring *b, struct io_uring *uring, int group, unsigned count,
	unsigned size);
/* Accepts a half-built one. `uring` NULL: the ring was never told. */
void rl_bufring_close(struct rl_bufring *b, struct io_uring *uring);
/* In a child: the kernel and the ring stay the parent's, this process's memory is given back. */
void rl_bufring_abandon(struct rl_bufring *b);

static inline char *rl_bufring_at(const struct rl_bufring *b, unsigned bid)
{
	RL_ASSERT(bid < b->count);
	return b->mem + (size_t)bid * b->size;
}

/* The kernel has filled buffer `bid`. */
static inline void rl_bufring_lend(struct rl_bufring *b, unsigned bid)
{
	RL_ASSERT(bid < b->count && !b->lent[bid]);
	b->lent[bid] = true;
}

/* The receiver is done with it. */
static inline void rl_bufring_put(struct rl_bufring *b, unsigned bid)
{
	RL_ASSERT(bid < b->count && b->lent[bid]);
	b->lent[bid] = false;
	io_uring_buf_ring_add(b->ring, rl_bufring_at(b, bid), b->size, (unsigned short)bid,
		(int)b->count - 1, 0);
	io_uring_buf_ring_advance(b->ring, 1);
}

#endif
