/* SPDX-License-Identifier: MIT */
/*
 * tracelog: a ring of records of two words that one thread writes and never waits to write; the
 * oldest is overwritten. Any thread may copy what is there, as often as it likes, and is told which
 * of it to believe: whoever copies can be overtaken.
 *
 * The words lie in memory of the caller - a file that outlives the process, for one - so there is
 * no pointer in it. Records are numbered from 0; record i lies at i & mask.
 *
 * Why it is right: a word is stored with release, after `head` was set to the number of its record;
 * so who has read (with acquire) a word of record i + size reads a `head` of at least i + size
 * afterwards, and knows that record i is gone. A record below `head` is whole, because `head` was
 * stored with release after its words.
 */
#ifndef RL_BASE_TRACELOG_H
#define RL_BASE_TRACELOG_H

#include "base/atomic.h"

#include <stdint.h>

/* The writer's. */
struct rl_tracelog {
	RL_ATOMIC(uint64_t) *head;  /* shared: how many records were written */
	RL_ATOMIC(uint64_t) *words; /* shared: two for each record */
	uint64_t mask;              /* records the ring has room for, less 1 */
	uint64_t next;              /* what *head is */
};

static inline void rl_tracelog_put(struct rl_tracelog *l, uint64_t first, uint64_t second)
{
	uint64_t next = RL_READ(&l->next);
	RL_ATOMIC(uint64_t) *at = &l->words[2 * (next & l->mask)];
	RL_STORE(&at[0], first, release);  /* pairs with the loads in rl_tracelog_copy, as does the */
	RL_STORE(&at[1], second, release); /* next: they order the `head` stored before */
	RL_WRITE(&l->next, next + 1);
	RL_STORE(l->head, next + 1, release); /* pairs with rl_tracelog_head: the record is whole */
}

/* How many records were written. */
uint64_t rl_tracelog_head(const struct rl_tracelog *l);

/* The oldest record that is sure not to be overwritten at this moment. */
uint64_t rl_tracelog_oldest(const struct rl_tracelog *l);

/* Copy records [from, from + n), which are below a head that was read before. They are to be
 * believed if they are not below what rl_tracelog_oldest says afterwards. */
void rl_tracelog_copy(const struct rl_tracelog *l, uint64_t from, uint64_t n, uint64_t *out);

#endif
