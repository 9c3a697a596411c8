/* SPDX-License-Identifier: MIT */
/*
 * hash: XXH64, a fast hash of bytes with a seed (Collet, "xxHash fast digest algorithm", version
 * 0.2.0). The same value on every machine. Not for secrets, and no defence against keys that were
 * chosen to collide.
 */
#ifndef RL_BASE_HASH_H
#define RL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rl_hash_bytes(const void *data, size_t len, uint64_t seed);

/* The hash of an integer: that of its eight bytes, least significant first. */
uint64_t rl_hash_int(int64_t value, uint64_t seed);

/* The finalizer of splitmix64: a bijection, after which every bit depends on all bits of x. */
static inline uint64_t rl_hash_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#endif
