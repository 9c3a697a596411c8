/* SPDX-License-Identifier: MIT */
/* jump: values that other implementations give, who moves when buckets come, balance. */
#include "base/jump.h"

#include "base/hash.h"
#include "check.h"

enum { KEYS = 1000000 };

/* What the code printed in the paper gives, and with it every implementation that follows it. */
TEST(published_values)
{
	static const struct {
		uint64_t key;
		uint32_t n, bucket;
	} want[] = {
		{ 1, 1, 0 }, { 42, 57, 43 }, { 256, 1024, 520 }, { 0xdead10cc, 1, 0 },
		{ 0xdead10cc, 666, 361 }, { 16045690984833335023u, 255, 237 },
		{ 10863919174838991u, 11, 6 }, { 2016238256797177309u, 11, 3 },
		{ 1673758223894951030u, 11, 5 }, { 2, 100001, 80343 }, { 2201, 100001, 22152 },
		{ 2202, 100001, 15018 },
	};
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK_EQ(rl_jump_find(want[i].key, want[i].n), want[i].bucket);
}

TEST(growing_moves_only_to_the_new_bucket)
{
	int wrong = 0;
	for (int64_t k = 0; k < 10000; k++) {
		uint64_t key = rl_hash_int(k, 0);
		for (uint32_t n = 1, before = 0; n <= 40; n++) {
			uint32_t now = rl_jump_find(key, n);
			wrong += now >= n || (now != before && now != n - 1);
			before = now;
		}
	}
	CHECK_EQ(wrong, 0);
}

TEST(ten_to_eleven_moves_one_in_eleven)
{
	int moved = 0;
	for (int64_t k = 0; k < KEYS; k++)
		moved += rl_jump_find(rl_hash_int(k, 0), 10) != rl_jump_find(rl_hash_int(k, 0), 11);
	CHECK(moved > KEYS / 11 - KEYS / 1000 && moved < KEYS / 11 + KEYS / 1000);
}

TEST(buckets_are_even)
{
	int count[10] = { 0 };
	for (int64_t k = 0; k < KEYS; k++)
		count[rl_jump_find(rl_hash_int(k, 0), 10)]++;
	for (int i = 0; i < 10; i++) /* five standard deviations are 1,500 */
		CHECK(count[i] > KEYS / 10 - 1500 && count[i] < KEYS / 10 + 1500);
}

TEST(the_largest_number_of_buckets)
{
	for (int64_t k = 0; k < 1000; k++)
		CHECK(rl_jump_find(rl_hash_int(k, 0), RL_JUMP_MAX) < RL_JUMP_MAX);
}

int main(void)
{
	RUN(published_values);
	RUN(growing_moves_only_to_the_new_bucket);
	RUN(ten_to_eleven_moves_one_in_eleven);
	RUN(buckets_are_even);
	RUN(the_largest_number_of_buckets);
	return FINISH();
}
