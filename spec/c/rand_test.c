/* SPDX-License-Identifier: MIT */
/* rand: the published vectors of both generators, and that `below` is in range and unbiased. */
#include "base/rand.h"

#include "check.h"

TEST(xoshiro_gives_the_published_sequence)
{
	const uint64_t want[] = { 11520, 0, 1509978240, 1215971899390074240, 1216172134540287360,
		607988272756665600, 16172922978634559625u, 8476171486693032832, 10595114339597558777u,
		2904607092377533576 };
	struct rl_rand r = { { 1, 2, 3, 4 } };
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK(rl_rand_next(&r) == want[i]);
}

TEST(seed_is_splitmix64)
{
	struct rl_rand r;
	rl_rand_seed(&r, 1234567);
	CHECK(r.s[0] == 6457827717110365317u);
	CHECK(r.s[1] == 3203168211198807973u);
	CHECK(r.s[2] == 9817491932198370423u);
	CHECK(r.s[3] == 4593380528125082431u);
}

TEST(seed_zero_is_a_seed)
{
	struct rl_rand r;
	rl_rand_seed(&r, 0);
	CHECK(r.s[0] == 0xe220a8397b1dcdafu);
	CHECK(rl_rand_next(&r) != rl_rand_next(&r));
}

TEST(one_seed_one_sequence)
{
	struct rl_rand a, b, c;
	rl_rand_seed(&a, 42);
	rl_rand_seed(&b, 42);
	rl_rand_seed(&c, 43);
	int same = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t x = rl_rand_next(&a);
		CHECK(x == rl_rand_next(&b));
		same += x == rl_rand_next(&c);
	}
	CHECK_EQ(same, 0);
}

TEST(below_stays_below)
{
	const uint64_t limits[] = { 1, 2, 3, 7, 64, 1000003, 1ull << 32, (1ull << 63) + 1, UINT64_MAX };
	struct rl_rand r;
	rl_rand_seed(&r, 1);
	CHECK_EQ(rl_rand_below(&r, 0), 0);
	for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++)
		for (int k = 0; k < 1000; k++)
			CHECK(rl_rand_below(&r, limits[i]) < limits[i]);
}

TEST(below_reaches_every_value_evenly)
{
	enum { SIDES = 6, DRAWS = 600000 };
	int count[SIDES] = { 0 };
	struct rl_rand r;
	rl_rand_seed(&r, 2);
	for (int i = 0; i < DRAWS; i++)
		count[rl_rand_below(&r, SIDES)]++;
	for (int i = 0; i < SIDES; i++) /* five standard deviations are 1,443 */
		CHECK(count[i] > DRAWS / SIDES - 1500 && count[i] < DRAWS / SIDES + 1500);
}

/*
 * For n = 3 * 2^62 a product without rejection gives each third value twice as often as its
 * neighbours: half of all draws instead of a third.
 */
TEST(below_is_unbiased_for_a_huge_limit)
{
	enum { DRAWS = 300000 };
	int thirds = 0;
	struct rl_rand r;
	rl_rand_seed(&r, 3);
	for (int i = 0; i < DRAWS; i++)
		thirds += rl_rand_below(&r, 3ull << 62) % 3 == 0;
	CHECK(thirds > DRAWS / 3 - 1500 && thirds < DRAWS / 3 + 1500);
}

int main(void)
{
	RUN(xoshiro_gives_the_published_sequence);
	RUN(seed_is_splitmix64);
	RUN(seed_zero_is_a_seed);
	RUN(one_seed_one_sequence);
	RUN(below_stays_below);
	RUN(below_reaches_every_value_evenly);
	RUN(below_is_unbiased_for_a_huge_limit);
	return FINISH();
}
