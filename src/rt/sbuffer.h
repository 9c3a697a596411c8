/* SPDX-License-Identifier: MIT */
/*
 * sbuffer: bytes that shards share. They never change once the buffer was handed on, so any thread
 * may read them; a view of a part counts the whole and copies nothing.
 */
#ifndef RL_RT_SBUFFER_H
#define RL_RT_SBUFFER_H

#include "rt/value.h"

#include <stdbool.h>

extern const struct rl_shared_class rl_sbuffer_class;
/* Of a buffer that stands for a string, where a value is stored: no handle of it is ever seen. */
extern const struct rl_shared_class rl_sbuffer_text_class;

struct rl_sbuffer {
	struct rl_shared shared;
	struct rl_sbuffer *whole; /* what this is a view of; NULL: the bytes are its own */
	const char *data;
	size_t len;
	char bytes[];
};

/* A buffer with one reference and room for its bytes, which the caller fills in before anybody else
 * has it. NULL when there is no memory. */
struct rl_sbuffer *rl_sbuffer_new(size_t len);

/* A view of the bytes from `off` on, which lie within. NULL when there is no memory. */
struct rl_sbuffer *rl_sbuffer_slice(struct rl_sbuffer *b, size_t off, size_t len);

/* Do they have the same bytes? */
bool rl_sbuffer_equal(const struct rl_sbuffer *a, const struct rl_sbuffer *b);

#endif
