/* SPDX-License-Identifier: MIT */
/*
 * deque: a work-stealing queue of pointers of at most RL_DEQUE_SIZE items. One thread, the owner,
 * pushes and takes from both ends; any thread may steal the oldest.
 *
 * Whoever gets an item sees everything the owner did before it pushed it. An item is got once. The
 * struct is aligned as a cache line: what it is embedded in comes from aligned_alloc.
 */
#ifndef RL_BASE_DEQUE_H
#define RL_BASE_DEQUE_H

#include "base/atomic.h"

#include <stddef.h>
#include <stdint.h>

#if defined(RL_TINY) && !defined(RL_DEQUE_SIZE)
#define RL_DEQUE_SIZE 4
#endif
#ifndef RL_DEQUE_SIZE
#define RL_DEQUE_SIZE 1024
#endif

_Static_assert((RL_DEQUE_SIZE & (RL_DEQUE_SIZE - 1)) == 0, "a position's slot is its low bits");

/* What rl_deque_steal returns when somebody else got the item; no item has this address. */
#define RL_DEQUE_LOST ((void *)(uintptr_t)1)

/* Read by the inline functions below, written by deque.c; nobody else's. */
struct rl_deque {
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(uint64_t) top; /* the oldest item; moved by CAS only */
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(uint64_t) bottom; /* the next to be pushed; the owner's */
	uint64_t top_seen;                               /* the owner's: a value that top has had */
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(void *) item[RL_DEQUE_SIZE];
};

_Static_assert(offsetof(struct rl_deque, bottom) == RL_CACHE_LINE, "top has a line of its own");
_Static_assert(offsetof(struct rl_deque, item) == 2 * RL_CACHE_LINE, "so has bottom");

void rl_deque_init(struct rl_deque *d);

/* The owner: whether there is room for one more, with a fresh look at top. For rl_deque_push. */
bool rl_deque_room(struct rl_deque *d);

/* The owner: add the newest item, which is neither NULL nor RL_DEQUE_LOST. False when full. */
static inline bool rl_deque_push(struct rl_deque *d, void *item)
{
	uint64_t b = RL_LOAD(&d->bottom, relaxed); /* the owner's own */
	if (b - RL_READ(&d->top_seen) >= RL_DEQUE_SIZE && !rl_deque_room(d))
		return false;
	RL_STORE(&d->item[b % RL_DEQUE_SIZE], item, relaxed); /* published by the next store */
	RL_STORE(&d->bottom, b + 1, release); /* pairs with the load of bottom in steal */
	return true;
}

/* The owner: the newest item; NULL when empty. */
void *rl_deque_pop(struct rl_deque *d);

/* The owner: the oldest item; NULL when empty. */
void *rl_deque_take(struct rl_deque *d);

/* Any thread: the oldest item; NULL when there was none, or RL_DEQUE_LOST when it went to somebody
 * else meanwhile: there may be more. */
void *rl_deque_steal(struct rl_deque *d);

/* Any thread: how many items there were a moment ago, or nearly; exact when only the owner is
 * active. Orders nothing. */
static inline unsigned rl_deque_len(struct rl_deque *d)
{
	uint64_t t = RL_LOAD(&d->top, relaxed); /* a hint, pairs with nothing */
	int64_t n = (int64_t)(RL_LOAD(&d->bottom, relaxed) - t);
	return n < 0 ? 0 : n > RL_DEQUE_SIZE ? RL_DEQUE_SIZE : (unsigned)n;
}

#endif
