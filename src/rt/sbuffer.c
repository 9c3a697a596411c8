/* SPDX-License-Identifier: MIT */
/*
 * sbuffer: see sbuffer.h. A view refers to the buffer that owns the bytes, never to another view,
 * so a view of a view keeps nothing but them alive.
 */
#include "rt/sbuffer.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static void sbuffer_free(struct rl_shared *o)
{
	struct rl_sbuffer *b = (struct rl_sbuffer *)o;
	if (b->whole)
		rl_shared_put(&b->whole->shared);
	free(b);
}

const struct rl_shared_class rl_sbuffer_class = {"ringlet.shared.buffer", sbuffer_free};
const struct rl_shared_class rl_sbuffer_text_class = {"ringlet.text", sbuffer_free};

struct rl_sbuffer *rl_sbuffer_new(size_t len)
{
	if (len > SIZE_MAX - sizeof(struct rl_sbuffer))
		return NULL;
	struct rl_sbuffer *b = malloc(sizeof *b + len);
	if (!b)
		return NULL;
	rl_shared_init(&b->shared, &rl_sbuffer_class);
	b->whole = NULL;
	b->data = b->bytes;
	b->len = len;
	return b;
}

struct rl_sbuffer *rl_sbuffer_slice(struct rl_sbuffer *b, size_t off, size_t len)
{
	RL_ASSERT(off <= b->len && len <= b->len - off);
	struct rl_sbuffer *view = rl_sbuffer_new(0);
	if (!view)
		return NULL;
	view->whole = b->whole ? b->whole : b;
	rl_shared_get(&view->whole->shared);
	view->data = b->data + off;
	view->len = len;
	return view;
}

bool rl_sbuffer_equal(const struct rl_sbuffer *a, const struct rl_sbuffer *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}
