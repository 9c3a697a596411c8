/* SPDX-License-Identifier: MIT */
/*
 * hash: XXH64. Four lanes take 32 bytes a round; what is left over is taken in words of 8, then 4,
 * then single bytes.
 */
#include "base/hash.h"

#include <endian.h>
#include <string.h>

#define P1 0x9e3779b185ebca87u
#define P2 0xc2b2ae3d27d4eb4fu
#define P3 0x165667b19e3779f9u
#define P4 0x85ebca77c2b2ae63u
#define P5 0x27d4eb2f165667c5u
#define STRIPE 32

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static uint64_t word(const unsigned char *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof w);
	return le64toh(w);
}

static uint64_t half_word(const unsigned char *p)
{
	uint32_t w;
	memcpy(&w, p, sizeof w);
	return le32toh(w);
}

static uint64_t lane_round(uint64_t lane, uint64_t input)
{
	return rotate(lane + input * P2, 31) * P1;
}

static uint64_t join_lane(uint64_t acc, uint64_t lane)
{
	return (acc ^ lane_round(0, lane)) * P1 + P4;
}

/* All whole stripes; *p is moved behind them. */
static uint64_t stripes(const unsigned char **p, const unsigned char *end, uint64_t seed)
{
	uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
	const unsigned char *at = *p;
	for (; end - at >= STRIPE; at += STRIPE) {
		a = lane_round(a, word(at));
		b = lane_round(b, word(at + 8));
		c = lane_round(c, word(at + 16));
		d = lane_round(d, word(at + 24));
	}
	*p = at;
	uint64_t acc = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
	acc = join_lane(acc, a);
	acc = join_lane(acc, b);
	acc = join_lane(acc, c);
	return join_lane(acc, d);
}

static inline uint64_t eat_word(uint64_t acc, uint64_t w)
{
	return rotate(acc ^ lane_round(0, w), 27) * P1 + P4;
}

static inline uint64_t avalanche(uint64_t acc)
{
	acc = (acc ^ (acc >> 33)) * P2;
	acc = (acc ^ (acc >> 29)) * P3;
	return acc ^ (acc >> 32);
}

uint64_t rl_hash_bytes(const void *data, size_t len, uint64_t seed)
{
	const unsigned char *p = data;
	const unsigned char *end = p + len;
	uint64_t acc = len >= STRIPE ? stripes(&p, end, seed) : seed + P5;
	acc += len;
	for (; end - p >= 8; p += 8)
		acc = eat_word(acc, word(p));
	if (end - p >= 4) {
		acc = rotate(acc ^ half_word(p) * P1, 23) * P2 + P3;
		p += 4;
	}
	for (; p < end; p++)
		acc = rotate(acc ^ *p * P5, 11) * P1;
	return avalanche(acc);
}

uint64_t rl_hash_int(int64_t value, uint64_t seed)
{
	return avalanche(eat_word(seed + P5 + sizeof value, (uint64_t)value));
}
