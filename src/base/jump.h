/* SPDX-License-Identifier: MIT */
/*
 * jump: jump consistent hash (Lamping and Veach, "A fast, minimal memory, consistent hash
 * algorithm", 2014). Buckets are 0 to n - 1; from n to n + 1 each key stays or goes to the new one.
 */
#ifndef RL_BASE_JUMP_H
#define RL_BASE_JUMP_H

#include <stdint.h>

#define RL_JUMP_MAX 0x7fffffffu

/* The bucket of a key among n, from 1 to RL_JUMP_MAX. */
static inline uint32_t rl_jump_find(uint64_t key, uint32_t n)
{
	int64_t last = -1, next = 0;
	while (next < (int64_t)n) {
		last = next;
		key = key * 2862933555777941757u + 1;
		double draw = (double)(int64_t)((key >> 33) + 1);
		next = (int64_t)((double)(last + 1) * ((double)(1ll << 31) / draw));
	}
	return (uint32_t)last;
}

#endif
