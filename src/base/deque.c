/* SPDX-License-Identifier: MIT */
/*
 * deque: the owner's ends and the thief's, after Chase and Lev (SPAA 2005) with the orders of Lê,
 * Pop, Cohen and Zappa Nardelli (PPoPP 2013), in an array that does not grow.
 *
 * Invariants: the items are those of the positions [top, bottom), position p in slot p modulo the
 * size. top never falls and moves one at a time, by a compare-and-swap that whoever gets the oldest
 * item must win. Only the owner writes bottom, so it needs no swap unless the item it wants is the
 * last one. bottom is less than top (by one) only inside pop. top_seen <= top.
 *
 * What pairs with what:
 * - push's release of bottom with steal's acquire of it: a thief that sees the position sees the
 *   item and what the owner did before. pop lowers bottom with a release for the same reason: a
 *   thief may learn of older items from that store, and push's release is for those who read push's
 *   (it was for later stores of the same thread too, until C++20).
 * - pop's fence (bottom lowered, then top read) with steal's fence (top read, then bottom read).
 *   One of the fences comes first. If pop's does, the thief sees bottom lowered and leaves the
 *   item alone; if steal's does, pop sees a top at least as far as the thief's, and if that is the
 *   very item, both swap top and one wins. Without either, both may have it.
 * - The swap's release in steal with room's acquire of top: the slot is not written again before
 *   the thief has read it.
 *
 * The swaps are seq_cst and steal's load of top an acquire as in the paper's proof; release
 * swaps and a relaxed load would do. The fast paths differ from the paper's: push looks at top only
 * when the items since top_seen would fill the array, and pop returns without a fence when there
 * are none since.
 */
#include "base/deque.h"

#include <string.h>

void rl_deque_init(struct rl_deque *d)
{
	memset(d, 0, sizeof *d);
}

bool rl_deque_room(struct rl_deque *d)
{
	uint64_t t = RL_LOAD(&d->top, acquire); /* pairs with the swap in steal */
	RL_WRITE(&d->top_seen, t);
	return RL_LOAD(&d->bottom, relaxed) - t < RL_DEQUE_SIZE; /* the owner's own */
}

/* Move top past position *t, unless it has moved: then put where it is into *t. */
static bool deque_claim(struct rl_deque *d, uint64_t *t)
{
	return RL_CAS(&d->top, t, *t + 1, seq_cst); /* pairs with the loads of top */
}

void *rl_deque_pop(struct rl_deque *d)
{
	uint64_t b = RL_LOAD(&d->bottom, relaxed); /* the owner's own */
	if (b == RL_READ(&d->top_seen))
		return NULL;
	RL_STORE(&d->bottom, --b, release); /* pairs with the load of bottom in steal */
	RL_FENCE(seq_cst);                  /* pairs with the fence in steal */
	uint64_t t = RL_LOAD(&d->top, relaxed); /* after the fence */
	void *item = NULL;
	if (b - t < RL_DEQUE_SIZE) { /* not gone: top is not beyond */
		item = RL_LOAD(&d->item[b % RL_DEQUE_SIZE], relaxed); /* the owner's own */
		if (b != t)
			return item;
		if (!deque_claim(d, &t))
			item = NULL;
	}
	RL_WRITE(&d->top_seen, b + 1);
	RL_STORE(&d->bottom, b + 1, relaxed); /* the fence releases for it */
	return item;
}

void *rl_deque_take(struct rl_deque *d)
{
	uint64_t b = RL_LOAD(&d->bottom, relaxed); /* the owner's own */
	uint64_t t = RL_LOAD(&d->top, relaxed);    /* checked by the swap */
	while (t != b) {
		void *item = RL_LOAD(&d->item[t % RL_DEQUE_SIZE], relaxed); /* the owner's own */
		if (deque_claim(d, &t))
			return item;
	}
	return NULL;
}

void *rl_deque_steal(struct rl_deque *d)
{
	uint64_t t = RL_LOAD(&d->top, acquire);    /* pairs with the swaps */
	RL_FENCE(seq_cst);                         /* pairs with the fence in pop */
	uint64_t b = RL_LOAD(&d->bottom, acquire); /* pairs with the stores of bottom */
	if ((int64_t)(b - t) <= 0)
		return NULL;
	void *item = RL_LOAD(&d->item[t % RL_DEQUE_SIZE], relaxed); /* by bottom */
	return deque_claim(d, &t) ? item : RL_DEQUE_LOST;
}
