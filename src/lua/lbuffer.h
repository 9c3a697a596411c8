/* SPDX-License-Identifier: MIT */
/*
 * lbuffer: slices, as lnet.c makes and takes them. A slice is a range of a chunk. One that belongs
 * to a reader is a loan: it has no reference, and is good as long as its chunk's generation and
 * the net are those it was made with. An owned one has a reference and is good until it is
 * released.
 */
#ifndef RL_LUA_LBUFFER_H
#define RL_LUA_LBUFFER_H

#include "lua/lshard.h"
#include "rt/bytes.h"
#include "rt/net.h"

struct rl_slice {
	const void *tag;         /* says that a userdata is one */
	struct rl_chunk *chunk;  /* NULL: released */
	uint32_t gen, off, len;
	uint32_t serial;         /* of the net; 0: owned */
};

/* Push a loan of a piece; `h` is the shard's. */
void rl_lbuffer_push(lua_State *L, struct rl_lua *h, const struct rl_piece *p);

/* The slice at `arg`, NULL when that is something else. */
struct rl_slice *rl_lbuffer_test(lua_State *L, int arg);
bool rl_lbuffer_is_valid(const struct rl_lua *h, const struct rl_slice *s);

#endif
