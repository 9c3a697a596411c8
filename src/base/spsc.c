/* SPDX-License-Identifier: MIT */
/*
 * spsc: making and freeing, and popping many at once; the fast paths are inline in the header.
 *
 * Invariants: the pointers are those of the positions [head, tail), position p in slot p & mask.
 * Only the producer writes tail, only the consumer head; head_seen <= head and tail_seen <= tail,
 * so what a side knows of the other is never too good. A side reads the other's line only when what
 * it knows is used up: in a stream, once for a whole ring.
 */
#include "base/spsc.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct rl_spsc *rl_spsc_new(uint32_t capacity)
{
	RL_ASSERT(capacity > 0 && capacity <= RL_SPSC_CAPACITY_MAX);
	RL_ASSERT((capacity & (capacity - 1)) == 0);
	size_t size = sizeof(struct rl_spsc) + capacity * sizeof(void *);
	size = (size + RL_CACHE_LINE - 1) / RL_CACHE_LINE * RL_CACHE_LINE;
	struct rl_spsc *q = aligned_alloc(RL_CACHE_LINE, size);
	if (!q)
		return NULL;
	memset(q, 0, sizeof *q);
	q->mask = capacity - 1;
	return q;
}

void rl_spsc_free(struct rl_spsc *q)
{
	free(q);
}

unsigned rl_spsc_pop_many(struct rl_spsc *q, void **out, unsigned max)
{
	uint64_t head = RL_LOAD(&q->head, relaxed); /* the consumer's own */
	uint64_t ready = rl_spsc_ready(q, head, max);
	unsigned n = ready < max ? (unsigned)ready : max;
	for (unsigned i = 0; i < n; i++)
		out[i] = RL_READ(&q->slot[(head + i) & q->mask]);
	if (n > 0)
		RL_STORE(&q->head, head + n, release); /* pairs with push's acquire */
	return n;
}
