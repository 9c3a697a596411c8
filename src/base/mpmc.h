/* SPDX-License-Identifier: MIT */
/*
 * mpmc: a bounded first-in-first-out queue of small values for any number of producers and
 * consumers. It never holds more than `capacity` values, and nobody ever waits for a lock.
 *
 * Waiting is the caller's, and the queue is made for it. Each push is a full barrier after its
 * value can be popped, each pop one after its room can be filled. So this loses no wake-up:
 *
 *     waiter:  say that somebody waits; fence (seq_cst); try once more; if it fails, sleep
 *     other:   push or pop; if somebody waits (a relaxed load will do), wake one
 *
 * A call fails also while another is half done: a pop when the oldest value has its place but is
 * not there yet (so values behind it cannot be had either), a push when a value has been taken but
 * its room is not free yet. That other call then ends as above, so it sees who waits. Because it
 * may end several such waits at once, having woken one is not enough: *a waiter that succeeds looks
 * whether there is more, and if so wakes the next*.
 *
 * Values pushed by one thread are popped in that order, and who pops a value sees what its pusher
 * did before.
 */
#ifndef RL_BASE_MPMC_H
#define RL_BASE_MPMC_H

#include "base/atomic.h"

#include <stddef.h>
#include <stdint.h>

#define RL_MPMC_CAPACITY_MAX (1u << 24)

struct rl_mpmc_item {
	uint64_t word[3];
};

struct rl_mpmc_slot;

/* mpmc.c's; here to be embedded, in memory aligned as a cache line. */
struct rl_mpmc {
	struct rl_mpmc_slot *slot;
	uint64_t mask;     /* slots - 1; a power of two, at least 2 */
	uint64_t capacity; /* <= slots */
	void *memory;      /* what the slots lie in */
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(uint64_t) tail; /* the next to be pushed; moved by CAS */
	_Alignas(RL_CACHE_LINE) RL_ATOMIC(uint64_t) head; /* the next to be popped; moved by CAS */
};

_Static_assert(offsetof(struct rl_mpmc, tail) == RL_CACHE_LINE, "tail has a line of its own");
_Static_assert(offsetof(struct rl_mpmc, head) == 2 * RL_CACHE_LINE, "so has head");

/* A queue of at most `capacity` values, 1 to RL_MPMC_CAPACITY_MAX. 0 or -ENOMEM. Memory that was
 * never used costs only addresses. */
int rl_mpmc_init(struct rl_mpmc *q, uint32_t capacity);

/* Frees what init allocated; values in the queue are forgotten. A zeroed struct is fine. */
void rl_mpmc_term(struct rl_mpmc *q);

/* Any thread: append a copy of *item; false when full. */
bool rl_mpmc_push(struct rl_mpmc *q, const struct rl_mpmc_item *item);

/* Any thread: remove the oldest value into *item; false when empty. */
bool rl_mpmc_pop(struct rl_mpmc *q, struct rl_mpmc_item *item);

/* The two halves of each, for who keeps more with a value than an item holds: between them position
 * *at is the caller's alone, and with it whatever else goes by its slot's number, rl_mpmc_slot. The
 * first half returns the item in the queue, or NULL; the second follows at once. */
struct rl_mpmc_item *rl_mpmc_push_begin(struct rl_mpmc *q, uint64_t *at);
void rl_mpmc_push_end(struct rl_mpmc *q, uint64_t at);
struct rl_mpmc_item *rl_mpmc_pop_begin(struct rl_mpmc *q, uint64_t *at);
void rl_mpmc_pop_end(struct rl_mpmc *q, uint64_t at);

static inline size_t rl_mpmc_slot(const struct rl_mpmc *q, uint64_t at)
{
	return at & q->mask;
}

static inline size_t rl_mpmc_slots(const struct rl_mpmc *q)
{
	return q->mask + 1;
}

/* Any thread: from now on every push fails; one that is half done ends as ever. */
void rl_mpmc_close(struct rl_mpmc *q);

/* Of a closed queue: has somebody taken, or begun to take, every value there ever was? */
bool rl_mpmc_is_drained(struct rl_mpmc *q);

/* Any thread: how many values there were a moment ago, or nearly. Orders nothing. */
unsigned rl_mpmc_len(struct rl_mpmc *q);

#endif
