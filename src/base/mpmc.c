/* SPDX-License-Identifier: MIT */
/*
 * mpmc: see mpmc.h; after Vyukov's bounded queue, with an exact capacity.
 *
 * Positions are counted from 0 and never wrap; position p is in slot p & mask, lap p & ~mask. A
 * slot's `turn` says whose turn it is:
 *
 *     lap          the producer's that has position lap | index
 *     lap + 1      the consumer's that has it
 *     lap + slots  the producer's of the next lap
 *
 * so zeroed memory is a queue of free slots, and there are at least two of them to tell the last
 * two apart.
 *
 * Invariants: a position is claimed by the swap of tail (to push) or of head (to pop), in order;
 * `turn` is then its claimer's alone to change, once. head <= tail <= head + capacity: position p
 * is claimed to push only after the slot of p - capacity has seen its consumer, and consumers
 * claim in order. With as many slots as capacity that is the same slot, so then it costs nothing.
 *
 * What pairs with what: the release of `turn` at the end of push with its acquire in pop (the value
 * is there), that at the end of pop with the acquires in push (the value was read, the slot may be
 * written). Who reads a `turn` of a later lap thereby sees the swap that led to it, so a loop never
 * sees the same stale position again. The swaps order nothing by themselves. The fences are the
 * barriers promised in mpmc.h, and pair with the waiter's.
 */
#include "base/mpmc.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct rl_mpmc_slot {
	RL_ATOMIC(uint64_t) turn;
	struct rl_mpmc_item item;
};

/* In the tail. Positions never get that far. */
#define CLOSED ((uint64_t)1 << 63)

_Static_assert(sizeof(struct rl_mpmc_slot) == 32, "two slots fill a cache line");

int rl_mpmc_init(struct rl_mpmc *q, uint32_t capacity)
{
	RL_ASSERT(capacity > 0 && capacity <= RL_MPMC_CAPACITY_MAX);
	size_t slots = 2;
	while (slots < capacity)
		slots *= 2;
	memset(q, 0, sizeof *q);
	/* calloc maps large memory without touching it, but aligns it to 16 bytes only. */
	q->memory = calloc(slots + RL_CACHE_LINE / sizeof *q->slot, sizeof *q->slot);
	if (!q->memory)
		return -ENOMEM;
	uintptr_t at = ((uintptr_t)q->memory + RL_CACHE_LINE - 1) & ~(uintptr_t)(RL_CACHE_LINE - 1);
	q->slot = (struct rl_mpmc_slot *)at;
	q->mask = slots - 1;
	q->capacity = capacity;
	return 0;
}

void rl_mpmc_term(struct rl_mpmc *q)
{
	free(q->memory);
	q->memory = NULL;
	q->slot = NULL;
}

/* How far the slot of a position is from the turn wanted: negative before it, positive beyond. */
static int64_t mpmc_turn(struct rl_mpmc *q, uint64_t position, uint64_t step)
{
	/* Pairs with the release of turn in push and pop. */
	uint64_t turn = RL_LOAD(&q->slot[position & q->mask].turn, acquire);
	return (int64_t)(turn - (position & ~q->mask) - step);
}

struct rl_mpmc_item *rl_mpmc_push_begin(struct rl_mpmc *q, uint64_t *at)
{
	uint64_t tail = RL_LOAD(&q->tail, relaxed); /* checked by turn, then by the swap */
	for (;;) {
		if (tail & CLOSED)
			return NULL;
		int64_t beyond = mpmc_turn(q, tail, 0);
		if (beyond == 0 && q->capacity <= q->mask)
			beyond = mpmc_turn(q, tail - q->capacity, q->mask + 1);
		if (beyond < 0)
			return NULL;
		if (beyond > 0)
			tail = RL_LOAD(&q->tail, relaxed); /* turn's acquire makes it a newer one */
		else if (RL_CAS(&q->tail, &tail, tail + 1, relaxed)) /* claims, orders nothing */
			break;
	}
	*at = tail;
	return &q->slot[tail & q->mask].item;
}

void rl_mpmc_push_end(struct rl_mpmc *q, uint64_t at)
{
	/* Pairs with turn's acquire in pop. */
	RL_STORE(&q->slot[at & q->mask].turn, (at & ~q->mask) + 1, release);
	RL_FENCE(seq_cst); /* pairs with the fence of who waits for a value */
}

bool rl_mpmc_push(struct rl_mpmc *q, const struct rl_mpmc_item *item)
{
	uint64_t at;
	struct rl_mpmc_item *to = rl_mpmc_push_begin(q, &at);
	if (!to)
		return false;
	for (unsigned i = 0; i < 3; i++)
		RL_WRITE(&to->word[i], item->word[i]);
	rl_mpmc_push_end(q, at);
	return true;
}

struct rl_mpmc_item *rl_mpmc_pop_begin(struct rl_mpmc *q, uint64_t *at)
{
	uint64_t head = RL_LOAD(&q->head, relaxed); /* checked by turn, then by the swap */
	for (;;) {
		int64_t beyond = mpmc_turn(q, head, 1);
		if (beyond < 0)
			return NULL;
		if (beyond > 0)
			head = RL_LOAD(&q->head, relaxed); /* turn's acquire makes it a newer one */
		else if (RL_CAS(&q->head, &head, head + 1, relaxed)) /* claims, orders nothing */
			break;
	}
	*at = head;
	return &q->slot[head & q->mask].item;
}

void rl_mpmc_pop_end(struct rl_mpmc *q, uint64_t at)
{
	/* Pairs with turn's acquires in push. */
	RL_STORE(&q->slot[at & q->mask].turn, (at & ~q->mask) + q->mask + 1, release);
	RL_FENCE(seq_cst); /* pairs with the fence of who waits for room */
}

bool rl_mpmc_pop(struct rl_mpmc *q, struct rl_mpmc_item *item)
{
	uint64_t at;
	const struct rl_mpmc_item *from = rl_mpmc_pop_begin(q, &at);
	if (!from)
		return false;
	for (unsigned i = 0; i < 3; i++)
		item->word[i] = RL_READ(&from->word[i]);
	rl_mpmc_pop_end(q, at);
	return true;
}

void rl_mpmc_close(struct rl_mpmc *q)
{
	uint64_t tail = RL_LOAD(&q->tail, relaxed);
	/* A push swaps the tail, so none comes between. Orders nothing, like that. */
	while (!(tail & CLOSED))
		if (RL_CAS(&q->tail, &tail, tail | CLOSED, relaxed))
			break;
}

bool rl_mpmc_is_drained(struct rl_mpmc *q)
{
	/* The tail of a closed queue does not move, and the head never passes it. */
	return RL_LOAD(&q->head, relaxed) == (RL_LOAD(&q->tail, relaxed) & ~CLOSED);
}

unsigned rl_mpmc_len(struct rl_mpmc *q)
{
	uint64_t head = RL_LOAD(&q->head, relaxed); /* a hint, pairs with nothing */
	int64_t n = (int64_t)((RL_LOAD(&q->tail, relaxed) & ~CLOSED) - head);
	return n < 0 ? 0 : (uint64_t)n > q->capacity ? (unsigned)q->capacity : (unsigned)n;
}
