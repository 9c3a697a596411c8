/* SPDX-License-Identifier: MIT */
/*
 * siphash: words of 8 bytes go in with `words` rounds each; the last has the rest of the bytes, and
 * the length in its top byte.
 */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void mix(uint64_t v[4], int rounds)
{
	for (int i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static inline void absorb(uint64_t v[4], uint64_t word, int rounds)
{
	v[3] ^= word;
	mix(v, rounds);
	v[0] ^= word;
}

/* Up to 8 bytes, least significant first. */
static uint64_t word_of(const unsigned char *p, size_t len)
{
	uint64_t w = 0;
	memcpy(&w, p, len);
	return le64toh(w);
}

static inline uint64_t hash(const void *data, size_t len, const uint64_t key[2], int words,
	int last)
{
	const unsigned char *p = data;
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
		key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u,
	};
	size_t left = len;
	for (; left >= 8; left -= 8, p += 8)
		absorb(v, word_of(p, 8), words);
	absorb(v, word_of(p, left) | (uint64_t)len << 56, words);
	v[2] ^= 0xff;
	mix(v, last);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t rl_siphash(const void *data, size_t len, const uint64_t key[2])
{
	return hash(data, len, key, 1, 3);
}
