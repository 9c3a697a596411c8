/* SPDX-License-Identifier: MIT */
/*
 * bytes: a queue of bytes that lie in chunks. What is received is queued without a copy, and so is
 * a slice that is sent; small amounts are copied together, so that a queue has few pieces.
 *
 * Invariants: `len` is the sum of the pieces, none of which is empty; the queue holds one reference
 * for each piece. The empty queue is all zeros.
 */
#ifndef RL_RT_BYTES_H
#define RL_RT_BYTES_H

#include "rt/chunk.h"

#include <stdbool.h>
#include <stddef.h>

#define RL_BYTES_MAX (1u << 31) /* a queue's length stays below */

struct rl_bytes {
	struct rl_piece *tail; /* tail->next is the head */
	uint32_t len;
	uint32_t need;         /* the owner's own: it fills a gap */
};

/* Queue a range of a chunk and take over its reference. 0, or a code: nothing was taken. */
int rl_bytes_push(struct rl_chunks *pool, struct rl_bytes *b, struct rl_chunk *c, uint32_t off,
	uint32_t len);

/* Queue a copy. On failure an unknown part of it has been queued. */
int rl_bytes_append(struct rl_chunks *pool, struct rl_bytes *b, const char *data, size_t len);

/* Drop the first `n` bytes, of at least as many. */
void rl_bytes_skip(struct rl_chunks *pool, struct rl_bytes *b, uint32_t n);

/* Take the first piece's range and its reference out of the queue, which must not be empty. */
struct rl_piece rl_bytes_take(struct rl_chunks *pool, struct rl_bytes *b);

/* Copy `n` bytes from `off`; there are as many. */
void rl_bytes_copy(const struct rl_bytes *b, uint32_t off, char *out, uint32_t n);

/* Where `needle`, of 1 byte or more, begins at or after `from`; -1 when it does not occur. */
int64_t rl_bytes_find(const struct rl_bytes *b, uint32_t from, const char *needle, size_t len);

/* How many bytes `rl_bytes_append` could copy behind the last one without new memory. */
uint32_t rl_bytes_room(const struct rl_bytes *b);

/* Make one piece of all, with room for `more` bytes behind it. 0 or -ENOMEM: nothing changed. */
int rl_bytes_join(struct rl_chunks *pool, struct rl_bytes *b, uint32_t more);

static inline struct rl_piece *rl_bytes_head(const struct rl_bytes *b)
{
	return b->tail ? b->tail->next : NULL;
}

static inline const char *rl_piece_at(const struct rl_piece *p)
{
	return p->chunk->data + p->off;
}

static inline void rl_bytes_clear(struct rl_chunks *pool, struct rl_bytes *b)
{
	rl_bytes_skip(pool, b, b->len);
}

#endif
