/* SPDX-License-Identifier: MIT */
/*
 * chunk: the pool.
 *
 * Invariants: `lent` is the number of provided chunks with a reference; a chunk on the spare list
 * has none and RL_CHUNK_SIZE bytes; a pooled record has memory exactly while it is in use or
 * spare.
 */
#include "rt/chunk.h"

#include "base/check.h"
#include "base/err.h"
#include "base/slab.h"
#include "rt/value.h"

#include <stdlib.h>
#include <string.h>

#ifdef RL_TINY
#define SPARE_MAX 2
#define PIECES_PER_BLOCK 2
#else
#define SPARE_MAX 256
#define PIECES_PER_BLOCK 128
#endif
#define RECORDS_PER_CHUNK 64
#define RECORDS_MAX (1u << 24)

int rl_chunks_init(struct rl_chunks *pool, struct rl_os *os)
{
	memset(pool, 0, sizeof *pool);
	pool->os = os;
	pool->provided = calloc(os->buf_count, sizeof *pool->provided);
	pool->pooled = rl_slab_new(sizeof(struct rl_chunk), RECORDS_PER_CHUNK, RECORDS_MAX);
	if (pool->provided && pool->pooled)
		return 0;
	rl_chunks_term(pool);
	return -ENOMEM;
}

static void free_pooled(struct rl_chunks *pool)
{
	for (uint32_t i = 0; rl_slab_at(pool->pooled, i); i++) {
		struct rl_chunk *c = rl_slab_at(pool->pooled, i);
		if (c->refs > 0)
			free(c->data);
	}
	while (pool->spare) {
		struct rl_chunk *c = pool->spare;
		pool->spare = c->next;
		free(c->data);
	}
	rl_slab_free(pool->pooled);
}

void rl_chunks_term(struct rl_chunks *pool)
{
	if (pool->pooled)
		free_pooled(pool);
	while (pool->blocks) {
		struct rl_piece *block = pool->blocks;
		pool->blocks = block->next;
		free(block);
	}
	free(pool->provided);
	memset(pool, 0, sizeof *pool);
}

struct rl_chunk *rl_chunk_provided(struct rl_chunks *pool, unsigned bid)
{
	struct rl_chunk *c = &pool->provided[bid];
	RL_ASSERT(c->refs == 0);
	if (!c->data) {
		c->data = pool->os->ops->buf(pool->os, bid);
		c->size = pool->os->buf_size;
		c->id = bid;
		c->pool = pool;
	}
	c->refs = 1;
	pool->lent++;
	return c;
}

/* A record that was never used before has generation 0 and no other way to say so. */
static struct rl_chunk *record_new(struct rl_chunks *pool)
{
	uint32_t used = pool->pooled->used, slot;
	struct rl_chunk *c = rl_slab_get(pool->pooled, &slot);
	if (!c)
		return NULL;
	if (slot >= used)
		memset(c, 0, sizeof *c);
	c->id = slot;
	c->kind = RL_CHUNK_POOLED;
	return c;
}

static struct rl_chunk *spare_pop(struct rl_chunks *pool)
{
	struct rl_chunk *c = pool->spare;
	pool->spare = c->next;
	pool->spare_len--;
	c->pool = pool;
	c->refs = 1;
	return c;
}

struct rl_chunk *rl_chunk_new(struct rl_chunks *pool, uint32_t size)
{
	if (size <= RL_CHUNK_SIZE && pool->spare)
		return spare_pop(pool);
	struct rl_chunk *c = record_new(pool);
	if (!c)
		return NULL;
	c->size = size < RL_CHUNK_SIZE ? RL_CHUNK_SIZE : size;
	c->data = malloc(c->size);
	if (!c->data) {
		rl_slab_put(pool->pooled, c, c->id);
		return NULL;
	}
	c->pool = pool;
	c->reader = NULL;
	c->refs = 1;
	return c;
}

struct rl_chunk *rl_chunk_new_owned(uint32_t size)
{
	struct rl_chunk *c = malloc(sizeof *c + size);
	if (!c)
		return NULL;
	*c = (struct rl_chunk){
		.data = (char *)(c + 1), .size = size, .refs = 1, .kind = RL_CHUNK_OWNED,
	};
	return c;
}

struct rl_chunk *rl_chunk_new_shared(struct rl_shared *owner, const char *data, uint32_t size)
{
	struct rl_chunk *c = malloc(sizeof *c);
	if (!c)
		return NULL;
	*c = (struct rl_chunk){
		.owner = rl_shared_get(owner), .data = (char *)data, .size = size, .refs = 1,
		.kind = RL_CHUNK_SHARED,
	};
	return c;
}

static void free_heap(struct rl_chunks *pool, struct rl_chunk *c)
{
	if (c->size == RL_CHUNK_SIZE && pool->spare_len < SPARE_MAX) {
		c->next = pool->spare;
		pool->spare = c;
		pool->spare_len++;
		return;
	}
	free(c->data);
	c->data = NULL;
	rl_slab_put(pool->pooled, c, c->id);
}

void rl_chunk_free(struct rl_chunk *c)
{
	struct rl_chunks *pool = c->pool;
	RL_DEBUG_ASSERT(!c->reader);
	if (c->kind == RL_CHUNK_OWNED) {
		free(c);
	} else if (c->kind == RL_CHUNK_SHARED) {
		rl_shared_put(c->owner);
		free(c);
	} else if (c->kind == RL_CHUNK_POOLED) {
		free_heap(pool, c);
	} else {
		pool->lent--;
		pool->os->ops->buf_put(pool->os, c->id);
		pool->returned(pool);
	}
}

/* The first piece of a block links the blocks. */
struct rl_piece *rl_piece_new(struct rl_chunks *pool)
{
	struct rl_piece *p = pool->pieces;
	if (p) {
		pool->pieces = p->next;
		return p;
	}
	struct rl_piece *block = malloc((PIECES_PER_BLOCK + 1) * sizeof *block);
	if (!block)
		return NULL;
	block->next = pool->blocks;
	pool->blocks = block;
	for (int i = PIECES_PER_BLOCK; i > 1; i--)
		rl_piece_free(pool, &block[i]);
	return &block[1];
}
