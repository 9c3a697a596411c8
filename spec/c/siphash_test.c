/* SPDX-License-Identifier: MIT */
/* siphash: the published vectors, of SipHash-2-4 (the paper's appendix) and of SipHash-1-3. */
#include "check.h"

#include "base/siphash.c"

static const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

static const unsigned char input[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

TEST(rounds_are_those_of_the_paper)
{
	CHECK(hash(input, 0, key, 2, 4) == 0x726fdb47dd0e0e31u);
	CHECK(hash(input, 1, key, 2, 4) == 0x74f839c593dc67fdu);
	CHECK(hash(input, 15, key, 2, 4) == 0xa129ca6149be45e5u);
}

TEST(one_and_three)
{
	CHECK(rl_siphash(input, 0, key) == 0xabac0158050fc4dcu);
}

TEST(every_byte_and_the_length_count)
{
	unsigned char bytes[16] = {0};
	uint64_t zeros = rl_siphash(bytes, 16, key);
	for (int i = 0; i < 16; i++) {
		bytes[i] = 1;
		CHECK(rl_siphash(bytes, 16, key) != zeros);
		bytes[i] = 0;
		CHECK(rl_siphash(bytes, (size_t)i, key) != zeros);
	}
	uint64_t other[2] = {key[0], key[1] + 1};
	CHECK(rl_siphash(bytes, 16, other) != zeros);
}

int main(void)
{
	RUN(rounds_are_those_of_the_paper);
	RUN(one_and_three);
	RUN(every_byte_and_the_length_count);
	return FINISH();
}
