/* SPDX-License-Identifier: MIT */
/*
 * bytes: pieces in a ring, addressed by the last.
 *
 * A copy may be appended to the last piece's chunk only if that chunk is pooled and nobody else
 * refers to it: then nobody else can append to it, and the kernel, which may be sending from it,
 * reads only what was there when it was asked.
 */
#include "rt/bytes.h"

#include "base/check.h"
#include "base/err.h"

#include <string.h>

#define CHUNK_MAX (256u << 10) /* one copy goes into chunks of at most this size */
#define CHUNK_GROW_MAX (64u << 10)

int rl_bytes_push(struct rl_chunks *pool, struct rl_bytes *b, struct rl_chunk *c, uint32_t off,
	uint32_t len)
{
	RL_DEBUG_ASSERT(len > 0 && off + len <= c->size);
	if (len >= RL_BYTES_MAX - b->len)
		return -EMSGSIZE;
	struct rl_piece *p = rl_piece_new(pool);
	if (!p)
		return -ENOMEM;
	p->chunk = c;
	p->off = off;
	p->len = len;
	p->next = b->tail ? b->tail->next : p;
	if (b->tail)
		b->tail->next = p;
	b->tail = p;
	b->len += len;
	return 0;
}

uint32_t rl_bytes_room(const struct rl_bytes *b)
{
	const struct rl_piece *p = b->tail;
	if (!p || p->chunk->kind != RL_CHUNK_POOLED || p->chunk->refs > 1)
		return 0;
	return p->chunk->size - p->off - p->len;
}

/* Memory for `left` more bytes: the longer the queue, the larger. */
static uint32_t chunk_size_for(const struct rl_bytes *b, size_t left)
{
	uint32_t size = b->len < CHUNK_GROW_MAX ? b->len : CHUNK_GROW_MAX;
	if (left > size)
		size = left < CHUNK_MAX ? (uint32_t)left : CHUNK_MAX;
	return size;
}

static int append_chunk(struct rl_chunks *pool, struct rl_bytes *b, const char *data, size_t left,
	uint32_t *taken)
{
	struct rl_chunk *c = rl_chunk_new(pool, chunk_size_for(b, left));
	if (!c)
		return -ENOMEM;
	*taken = left < c->size ? (uint32_t)left : c->size;
	memcpy(c->data, data, *taken);
	int err = rl_bytes_push(pool, b, c, 0, *taken);
	if (err < 0)
		rl_chunk_put(c);
	return err;
}

int rl_bytes_append(struct rl_chunks *pool, struct rl_bytes *b, const char *data, size_t len)
{
	uint32_t n = rl_bytes_room(b);
	if (len >= RL_BYTES_MAX - b->len)
		return -EMSGSIZE;
	if (n > len)
		n = (uint32_t)len;
	if (n > 0) {
		memcpy(b->tail->chunk->data + b->tail->off + b->tail->len, data, n);
		b->tail->len += n;
		b->len += n;
	}
	while (n < len) {
		uint32_t taken;
		int err = append_chunk(pool, b, data + n, len - n, &taken);
		if (err < 0)
			return err;
		n += taken;
	}
	return 0;
}

/* Unlink the head, whose reference goes to the caller. */
static struct rl_piece pop(struct rl_chunks *pool, struct rl_bytes *b)
{
	struct rl_piece *head = b->tail->next, copy = *head;
	if (head == b->tail)
		b->tail = NULL;
	else
		b->tail->next = head->next;
	b->len -= head->len;
	rl_piece_free(pool, head);
	return copy;
}

struct rl_piece rl_bytes_take(struct rl_chunks *pool, struct rl_bytes *b)
{
	RL_DEBUG_ASSERT(b->tail);
	return pop(pool, b);
}

void rl_bytes_skip(struct rl_chunks *pool, struct rl_bytes *b, uint32_t n)
{
	RL_ASSERT(n <= b->len);
	while (n > 0) {
		struct rl_piece *head = b->tail->next;
		if (n < head->len) {
			head->off += n;
			head->len -= n;
			b->len -= n;
			return;
		}
		n -= head->len;
		rl_chunk_put(pop(pool, b).chunk);
	}
}

void rl_bytes_copy(const struct rl_bytes *b, uint32_t off, char *out, uint32_t n)
{
	RL_ASSERT(off <= b->len && n <= b->len - off);
	for (const struct rl_piece *p = rl_bytes_head(b); n > 0; p = p->next) {
		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		uint32_t part = p->len - off < n ? p->len - off : n;
		memcpy(out, rl_piece_at(p) + off, part);
		out += part;
		n -= part;
		off = 0;
	}
}

int rl_bytes_join(struct rl_chunks *pool, struct rl_bytes *b, uint32_t more)
{
	uint32_t len = b->len;
	struct rl_chunk *c = rl_chunk_new(pool, len + more);
	if (!c)
		return -ENOMEM;
	rl_bytes_copy(b, 0, c->data, len);
	rl_bytes_clear(pool, b);
	/* There is a free piece now, so this cannot fail. */
	int err = rl_bytes_push(pool, b, c, 0, len);
	RL_ASSERT(err == 0);
	return 0;
}

/* Does the queue go on with `needle` at `off` of piece `p`? `left` bytes follow there. */
static bool matches(const struct rl_piece *p, uint32_t off, uint32_t left, const char *needle,
	size_t len)
{
	if (len > left)
		return false;
	while (len > 0) {
		uint32_t part = p->len - off;
		if (part > len)
			part = (uint32_t)len;
		if (memcmp(rl_piece_at(p) + off, needle, part) != 0)
			return false;
		needle += part;
		len -= part;
		off = 0;
		p = p->next;
	}
	return true;
}

int64_t rl_bytes_find(const struct rl_bytes *b, uint32_t from, const char *needle, size_t len)
{
	const struct rl_piece *p = rl_bytes_head(b);
	uint32_t base = 0; /* of piece p in the queue */
	while (base < b->len) {
		uint32_t off = from > base ? from - base : 0;
		while (off < p->len) {
			const char *at = memchr(rl_piece_at(p) + off, needle[0], p->len - off);
			if (!at)
				break;
			off = (uint32_t)(at - rl_piece_at(p));
			if (matches(p, off, b->len - base - off, needle, len))
				return (int64_t)base + off;
			off++;
		}
		base += p->len;
		p = p->next;
	}
	return -1;
}
