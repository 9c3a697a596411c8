/* SPDX-License-Identifier: MIT */
/*
 * slab: records of one size, in chunks that never move. A record has a stable address and a dense
 * index; getting and putting are O(1), a record costs nothing but itself.
 *
 * Records are got from one chunk, the one put there last first, until it has no free one, then from
 * another, and only then is one got that was never used: so records got in succession lie near each
 * other, in whatever order those before them were put.
 *
 * Records are aligned as their size, rounded up to 8 bytes, allows (at most 64). Their contents are
 * the caller's: not cleared by `get`, and kept after `put` but for the first four bytes, so a field
 * further on may say whether a record is in use.
 */
#ifndef RL_BASE_SLAB_H
#define RL_BASE_SLAB_H

#include "base/check.h"

#include <stddef.h>
#include <stdint.h>

#define RL_SLAB_NONE UINT32_MAX /* an index no record has */

struct rl_slab_chunk {
	char *records;
	uint32_t free;         /* the record put last, whose first word is the one before; or NONE */
	uint32_t next;         /* the next chunk with free records; or NONE */
};

/* Read by the inline functions below, written by slab.c; nobody else's. */
struct rl_slab {
	struct rl_slab_chunk *chunks;
	size_t size;           /* of a record, rounded up */
	uint32_t shift;        /* log2 of the records of a chunk */
	uint32_t chunk;        /* the chunk records are got from */
	uint32_t others;       /* the first of the other chunks that have free records; or NONE */
	uint32_t used;         /* records ever handed out: indices below it are addressable */
	uint32_t live;
	uint32_t limit;
	uint32_t chunks_len, chunks_max;
};

/*
 * A slab of at most `limit` records (below RL_SLAB_NONE) of `size` bytes, allocated `chunk_records`
 * (rounded up to a power of two) at a time. NULL when out of memory or when a chunk would be
 * beyond size_t. Allocates no chunk yet.
 */
struct rl_slab *rl_slab_new(size_t size, uint32_t chunk_records, uint32_t limit);

/* NULL is fine. Frees every record, live or not. */
void rl_slab_free(struct rl_slab *s);

/* From another chunk, or never handed out before: NULL at the limit or when out of memory. For
 * rl_slab_get. */
void *rl_slab_grow(struct rl_slab *s, uint32_t *index);

static inline void *rl_slab_address(const struct rl_slab *s, uint32_t index)
{
	uint32_t in_chunk = index & ((1u << s->shift) - 1);
	return s->chunks[index >> s->shift].records + in_chunk * s->size;
}

/* The record of an index, live or put; NULL for one that was never handed out. */
static inline void *rl_slab_at(const struct rl_slab *s, uint32_t index)
{
	return index < s->used ? rl_slab_address(s, index) : NULL;
}

/* A record and, in *index, its index; NULL at the limit or when out of memory. */
static inline void *rl_slab_get(struct rl_slab *s, uint32_t *index)
{
	if (s->used == 0 || s->chunks[s->chunk].free == RL_SLAB_NONE)
		return rl_slab_grow(s, index);
	struct rl_slab_chunk *c = &s->chunks[s->chunk];
	*index = c->free;
	uint32_t *record = rl_slab_address(s, c->free);
	c->free = *record;
	s->live++;
	return record;
}

/* Give back a live record. */
static inline void rl_slab_put(struct rl_slab *s, void *record, uint32_t index)
{
	uint32_t i = index >> s->shift;
	struct rl_slab_chunk *c = &s->chunks[i];
	RL_ASSERT(record == rl_slab_at(s, index));
	RL_ASSERT(index != c->free);
	if (c->free == RL_SLAB_NONE && i != s->chunk) {
		c->next = s->others;
		s->others = i;
	}
	*(uint32_t *)record = c->free;
	c->free = index;
	s->live--;
}

static inline uint32_t rl_slab_live(const struct rl_slab *s)
{
	return s->live;
}

#endif
