/* SPDX-License-Identifier: MIT */
/*
 * chunk: memory that bytes of a stream lie in. A chunk is a provided buffer of the seam, a heap
 * block of the shard's pool, a heap block on its own, or the memory of an object that shards
 * share; who holds a reference may read it, and the last one to put it gives it back to where it
 * came from.
 *
 * A slice of a chunk that is lent to user code carries the chunk's generation; when the loan ends
 * the generation moves on, so a slice kept too long is recognised. For that, records of provided
 * and pooled chunks keep their address and generation for as long as the pool lives.
 */
#ifndef RL_RT_CHUNK_H
#define RL_RT_CHUNK_H

#include "os/os.h"

#include <stdint.h>

#define RL_CHUNK_SIZE 4096 /* the usual size of a pooled chunk */

struct rl_shared;
struct rl_slab;
struct rl_stream;

enum rl_chunk_kind {
	RL_CHUNK_PROVIDED, /* of the seam, `id` is its bid */
	RL_CHUNK_POOLED,   /* `id` is its slot in the pool's slab */
	RL_CHUNK_OWNED,    /* on its own: belongs to no pool and may outlive every run */
	RL_CHUNK_SHARED,   /* of an object of several shards: nobody writes to it */
};

struct rl_chunk {
	union {
		struct rl_chunk *next;   /* while free */
		struct rl_chunks *pool;  /* while in use; NULL: owned */
		struct rl_shared *owner; /* of the data of a shared one: a reference */
	};
	char *data;
	struct rl_stream *reader;    /* whose reader it is lent to, NULL when to nobody */
	uint32_t size, refs, gen, id;
	uint8_t kind;
};

/* A range of a chunk in a queue of bytes; see bytes.h. */
struct rl_piece {
	struct rl_piece *next;
	struct rl_chunk *chunk;
	uint32_t off, len;
};

/* A shard's pool of chunks and pieces. */
struct rl_chunks {
	struct rl_os *os;
	struct rl_chunk *provided;   /* by bid */
	struct rl_slab *pooled;      /* records */
	struct rl_chunk *spare;      /* free records with RL_CHUNK_SIZE bytes of memory each */
	unsigned spare_len;
	unsigned lent;               /* provided buffers in use */
	struct rl_piece *pieces;     /* free ones */
	struct rl_piece *blocks;     /* all allocations of pieces, through their first */
	/* A provided buffer was put back. */
	void (*returned)(struct rl_chunks *pool);
};

int rl_chunks_init(struct rl_chunks *pool, struct rl_os *os);
/* Forgets what is in use. The seam may be closed already. */
void rl_chunks_term(struct rl_chunks *pool);

/* The provided buffer `bid`, which the seam has just filled, with one reference. */
struct rl_chunk *rl_chunk_provided(struct rl_chunks *pool, unsigned bid);
/* A heap block of at least `size` bytes with one reference; NULL without memory. */
struct rl_chunk *rl_chunk_new(struct rl_chunks *pool, uint32_t size);
struct rl_chunk *rl_chunk_new_owned(uint32_t size);
/* For bytes that live as long as the object, to which it takes a reference of its own. */
struct rl_chunk *rl_chunk_new_shared(struct rl_shared *owner, const char *data, uint32_t size);
void rl_chunk_free(struct rl_chunk *c); /* by rl_chunk_put */

struct rl_piece *rl_piece_new(struct rl_chunks *pool); /* NULL without memory */

static inline void rl_chunk_get(struct rl_chunk *c)
{
	c->refs++;
}

static inline void rl_chunk_put(struct rl_chunk *c)
{
	if (--c->refs == 0)
		rl_chunk_free(c);
}

static inline void rl_piece_free(struct rl_chunks *pool, struct rl_piece *p)
{
	p->next = pool->pieces;
	pool->pieces = p;
}

#endif
