/* SPDX-License-Identifier: MIT */
/*
 * rand: xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. Reproducible: one seed
 * gives one sequence on every machine. Not for secrets.
 *
 * Invariant: the state is never all zeros, for which splitmix64 cares.
 */
#ifndef RL_BASE_RAND_H
#define RL_BASE_RAND_H

#include <stdint.h>

struct rl_rand {
	uint64_t s[4];
};

static inline void rl_rand_seed(struct rl_rand *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		seed += 0x9e3779b97f4a7c15u;
		uint64_t z = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		r->s[i] = z ^ (z >> 31);
	}
}

static inline uint64_t rl_rand_rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

/* All 64 bits are uniform. */
static inline uint64_t rl_rand_next(struct rl_rand *r)
{
	uint64_t *s = r->s;
	uint64_t result = rl_rand_rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rl_rand_rotate(s[3], 45);
	return result;
}

/* Uniform in [0, n), without bias (Lemire, 2019): almost always one draw; 0 for an n of 0. */
static inline uint64_t rl_rand_below(struct rl_rand *r, uint64_t n)
{
	unsigned __int128 product = (unsigned __int128)rl_rand_next(r) * n;
	if ((uint64_t)product < n) {
		uint64_t reject = -n % n; /* this many low halves would come up once too often */
		while ((uint64_t)product < reject)
			product = (unsigned __int128)rl_rand_next(r) * n;
	}
	return (uint64_t)(product >> 64);
}

#endif
