/* SPDX-License-Identifier: MIT */
/*
 * sha1: RFC 3174 of bytes that are all there. The last block or two, which hold the padding and the
 * length, are put together in a buffer of their own.
 */
#include "base/sha1.h"

#include <endian.h>
#include <string.h>

#define BLOCK 64
#define ROUNDS 80

static uint32_t rotate(uint32_t x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

/* The words of the block, extended to one for each round (section 6.1, b). */
static void expand(uint32_t words[ROUNDS], const unsigned char *block)
{
	memcpy(words, block, BLOCK);
	for (unsigned i = 0; i < 16; i++)
		words[i] = be32toh(words[i]);
	for (unsigned i = 16; i < ROUNDS; i++)
		words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
}

/* The function of round i and its constant (section 5). */
static uint32_t mix(unsigned i, uint32_t b, uint32_t c, uint32_t d)
{
	switch (i / 20) {
	case 0:
		return ((b & c) | (~b & d)) + 0x5a827999;
	case 1:
		return (b ^ c ^ d) + 0x6ed9eba1;
	case 2:
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	default:
		return (b ^ c ^ d) + 0xca62c1d6;
	}
}

static void eat_block(uint32_t state[5], const unsigned char *block)
{
	uint32_t words[ROUNDS];
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
	expand(words, block);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t next = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

void rl_sha1_digest(const void *data, size_t len, uint8_t digest[RL_SHA1_LEN])
{
	uint32_t state[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	const unsigned char *p = data;
	unsigned char tail[2 * BLOCK] = { 0 };
	size_t left = len % BLOCK;
	for (size_t n = len / BLOCK; n > 0; n--, p += BLOCK)
		eat_block(state, p);
	if (left > 0)
		memcpy(tail, p, left);
	tail[left] = 0x80;
	size_t padded = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
	uint64_t bits = htobe64((uint64_t)len * 8);
	memcpy(tail + padded - sizeof bits, &bits, sizeof bits);
	for (size_t at = 0; at < padded; at += BLOCK)
		eat_block(state, tail + at);
	for (int i = 0; i < 5; i++) {
		uint32_t word = htobe32(state[i]);
		memcpy(digest + 4 * i, &word, sizeof word);
	}
}
