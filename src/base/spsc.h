/* SPDX-License-Identifier: MIT */
/*
 * spsc: a first-in-first-out ring of pointers between two threads. One thread, the producer,
 * pushes; one, the consumer, pops; either may be handed on to another thread if the caller orders
 * that. Whoever pops a pointer sees everything the producer did before it pushed it.
 *
 * Nothing here is a full barrier, so that a batch needs but one, and that is the caller's: a
 * producer fences (seq_cst) after its last push and before it looks whether the consumer sleeps,
 * and a consumer fences after it said that it would and before rl_spsc_empty. The same holds, with
 * the sides exchanged, for a producer that waits for room.
 */
#ifndef RL_BASE_SPSC_H
#define RL_BASE_SPSC_H

#include "base/atomic.h"

#include <stddef.h>
#include <stdint.h>

#define RL_SPSC_CAPACITY_MAX (1u << 30)

/* Read and written by the inline functions below; nobody else's. */
struct rl_spsc {
	uint64_t mask;                                    /* capacity - 1 */
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(uint64_t) tail; /* the next to be pushed; the producer's */
	uint64_t head_seen;                               /* the producer's: a value of head */
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(uint64_t) head; /* the next to be popped; the consumer's */
	uint64_t tail_seen;                               /* the consumer's: a value of tail */
	_Alignas(RL_CACHE_LINE) void *slot[];
};

_Static_assert(offsetof(struct rl_spsc, tail) == RL_CACHE_LINE, "the producer has its own line");
_Static_assert(offsetof(struct rl_spsc, head) == 2 * RL_CACHE_LINE, "so has the consumer");
_Static_assert(offsetof(struct rl_spsc, slot) == 3 * RL_CACHE_LINE, "and nobody shares it");

/* A ring of `capacity` pointers, a power of two up to RL_SPSC_CAPACITY_MAX. NULL when out of
 * memory. */
struct rl_spsc *rl_spsc_new(uint32_t capacity);

/* NULL is fine. What is in the ring is forgotten. */
void rl_spsc_free(struct rl_spsc *q);

/* The producer: false when full. */
static inline bool rl_spsc_push(struct rl_spsc *q, void *item)
{
	uint64_t tail = RL_LOAD(&q->tail, relaxed); /* the producer's own */
	if (tail - RL_READ(&q->head_seen) > q->mask) {
		RL_WRITE(&q->head_seen, RL_LOAD(&q->head, acquire)); /* pairs with pop's release */
		if (tail - RL_READ(&q->head_seen) > q->mask)
			return false;
	}
	RL_WRITE(&q->slot[tail & q->mask], item);
	RL_STORE(&q->tail, tail + 1, release); /* pairs with pop's acquire */
	return true;
}

/* The consumer: how many pointers can be popped, if fewer than `want` after a fresh look. For
 * rl_spsc_pop. */
static inline uint64_t rl_spsc_ready(struct rl_spsc *q, uint64_t head, uint64_t want)
{
	if (RL_READ(&q->tail_seen) - head < want)
		RL_WRITE(&q->tail_seen, RL_LOAD(&q->tail, acquire)); /* pairs with push's release */
	return RL_READ(&q->tail_seen) - head;
}

/* The consumer: the oldest pointer, in *item; false when empty. */
static inline bool rl_spsc_pop(struct rl_spsc *q, void **item)
{
	uint64_t head = RL_LOAD(&q->head, relaxed); /* the consumer's own */
	if (rl_spsc_ready(q, head, 1) == 0)
		return false;
	*item = RL_READ(&q->slot[head & q->mask]);
	RL_STORE(&q->head, head + 1, release); /* pairs with push's acquire */
	return true;
}

/* The consumer: pop at most `max` pointers into `out`, oldest first; how many. */
unsigned rl_spsc_pop_many(struct rl_spsc *q, void **out, unsigned max);

/* Either side: how many pointers there are. The producer's answer may be too high by what is just
 * popped, the consumer's too low by what is just pushed; to others it is a hint. Orders nothing. */
static inline unsigned rl_spsc_len(struct rl_spsc *q)
{
	uint64_t head = RL_LOAD(&q->head, relaxed); /* a hint, pairs with nothing */
	uint64_t n = RL_LOAD(&q->tail, relaxed) - head;
	return n > q->mask + 1 ? (unsigned)(q->mask + 1) : (unsigned)n;
}

/* As rl_spsc_len is 0. To the consumer, false is certain, and so is true after a fence that a
 * producer pairs with (see above). */
static inline bool rl_spsc_empty(struct rl_spsc *q)
{
	return rl_spsc_len(q) == 0;
}

#endif
