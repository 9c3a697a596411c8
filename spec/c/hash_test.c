/* SPDX-License-Identifier: MIT */
/* hash: the vectors of the reference implementation's sanity check, alignment, integers. */
#include "base/hash.h"

#include "check.h"

#include <endian.h>

#define SEED 2654435761u

/* The buffer that xxhsum checks itself with. */
static void fill(unsigned char *buffer, size_t len)
{
	uint64_t x = SEED;
	for (size_t i = 0; i < len; i++) {
		buffer[i] = (unsigned char)(x >> 56);
		x *= 11400714785074694797u;
	}
}

TEST(published_vectors)
{
	static const struct {
		size_t len;
		uint64_t plain, seeded;
	} want[] = {
		{ 0, 0xef46db3751d8e999, 0xac75fda2929b17ef },
		{ 1, 0xe934a84adb052768, 0x5014607643a9b4c3 },
		{ 4, 0x9136a0dca57457ee, 0xcaab286bd8e9fdb5 },
		{ 14, 0x8282dcc4994e35c8, 0xc3bd6bf63deb6df0 },
		{ 32, 0x18b216492bb44b70, 0xb3f33bdf93ade409 },
		{ 222, 0xb641ae8cb691c174, 0x20cb8ab7ae10c14a },
	};
	unsigned char buffer[222];
	fill(buffer, sizeof buffer);
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		CHECK(rl_hash_bytes(buffer, want[i].len, 0) == want[i].plain);
		CHECK(rl_hash_bytes(buffer, want[i].len, SEED) == want[i].seeded);
	}
}

TEST(text_vectors)
{
	CHECK(rl_hash_bytes("a", 1, 0) == 0xd24ec4f1a98c6e5b);
	CHECK(rl_hash_bytes("abc", 3, 0) == 0x44bc2cf5ad770999);
	CHECK(rl_hash_bytes("abcd", 4, 0) == 0xde0327b0d25d92cc);
	CHECK(rl_hash_bytes("abcdefgh", 8, 0) == 0x3ad351775b4634b7);
}

TEST(alignment_does_not_matter)
{
	unsigned char buffer[128], moved[136];
	fill(buffer, sizeof buffer);
	for (size_t off = 0; off < 8; off++) {
		memcpy(moved + off, buffer, sizeof buffer);
		for (size_t len = 0; len <= sizeof buffer; len++)
			CHECK(rl_hash_bytes(moved + off, len, 7) == rl_hash_bytes(buffer, len, 7));
	}
}

TEST(an_integer_is_its_eight_bytes)
{
	const int64_t values[] = { 0, 1, -1, 255, 1ll << 32, INT64_MAX, INT64_MIN };
	for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
		uint64_t bytes = htole64((uint64_t)values[i]);
		CHECK(rl_hash_int(values[i], 0) == rl_hash_bytes(&bytes, 8, 0));
		CHECK(rl_hash_int(values[i], 99) == rl_hash_bytes(&bytes, 8, 99));
	}
}

TEST(mix_is_that_of_splitmix64)
{
	CHECK(rl_hash_mix(0x9e3779b97f4a7c15) == 0xe220a8397b1dcdaf);
	CHECK(rl_hash_mix(0) == 0);
}

int main(void)
{
	RUN(published_vectors);
	RUN(text_vectors);
	RUN(alignment_does_not_matter);
	RUN(an_integer_is_its_eight_bytes);
	RUN(mix_is_that_of_splitmix64);
	return FINISH();
}
