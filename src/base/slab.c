/* SPDX-License-Identifier: MIT */
/*
 * slab: making, growing and freeing; the fast paths are inline in the header.
 *
 * Invariants: there are just the chunks that the indices below `used` need; `used` never falls;
 * used == live + the lengths of the free lists. Every chunk with a free record is `chunk` or on
 * `others`, and just once.
 */
#include "base/slab.h"

#include "base/check.h"

#include <stdbool.h>
#include <stdlib.h>

#define ALIGN 64 /* a cache line */
#define CHUNKS_FIRST 8

_Static_assert((ALIGN & (ALIGN - 1)) == 0, "an alignment is a power of two");

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* Room in the table for one chunk more. */
static bool table_reserve(struct rl_slab *s)
{
	if (s->chunks_len < s->chunks_max)
		return true;
	uint32_t max = s->chunks_max ? s->chunks_max * 2 : CHUNKS_FIRST;
	struct rl_slab_chunk *chunks = realloc(s->chunks, max * sizeof *chunks);
	if (!chunks)
		return false;
	s->chunks = chunks;
	s->chunks_max = max;
	return true;
}

static bool chunk_add(struct rl_slab *s)
{
	if (!table_reserve(s))
		return false;
	char *chunk = aligned_alloc(ALIGN, round_up(s->size << s->shift, ALIGN));
	if (!chunk)
		return false;
	struct rl_slab_chunk *c = &s->chunks[s->chunks_len++];
	c->records = chunk;
	c->free = RL_SLAB_NONE;
	c->next = RL_SLAB_NONE;
	return true;
}

struct rl_slab *rl_slab_new(size_t size, uint32_t chunk_records, uint32_t limit)
{
	RL_ASSERT(size > 0 && chunk_records > 0);
	RL_ASSERT(limit < RL_SLAB_NONE);
	uint32_t shift = 0;
	while (shift < 31 && 1u << shift < chunk_records)
		shift++;
	if (size > (SIZE_MAX >> shift) - 2 * ALIGN) /* room for rounding up twice */
		return NULL;
	struct rl_slab *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->size = round_up(size, sizeof(uint64_t));
	s->shift = shift;
	s->others = RL_SLAB_NONE;
	s->limit = limit;
	return s;
}

void rl_slab_free(struct rl_slab *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->chunks_len; i++)
		free(s->chunks[i].records);
	free(s->chunks);
	free(s);
}

void *rl_slab_grow(struct rl_slab *s, uint32_t *index)
{
	if (s->others != RL_SLAB_NONE) {
		s->chunk = s->others;
		s->others = s->chunks[s->chunk].next;
		return rl_slab_get(s, index);
	}
	if (s->used == s->limit)
		return NULL;
	if (s->used >> s->shift == s->chunks_len && !chunk_add(s))
		return NULL;
	*index = s->used++;
	s->chunk = *index >> s->shift;
	s->live++;
	return rl_slab_address(s, *index);
}
