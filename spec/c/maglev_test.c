/* SPDX-License-Identifier: MIT */
/* maglev: the table of the paper's section 3.4, balance, what moves, sizes. */
#include "base/maglev.h"

#include "base/hash.h"
#include "check.h"

enum { KEYS = 1000000, NODES_MAX = 16 };

static struct rl_maglev *table_of(uint32_t nodes, uint32_t size)
{
	uint64_t ids[NODES_MAX];
	for (uint32_t i = 0; i < nodes; i++)
		ids[i] = rl_hash_int(i, 0);
	return rl_maglev_new(ids, nodes, size);
}

/* A hash that reaches entry i of a table. */
static uint64_t hash_for(uint32_t i, uint32_t size)
{
	return (uint64_t)((((unsigned __int128)i << 64) + size - 1) / size);
}

/* Table 1 of the paper: permutations from (offset, skip) = (3, 4), (0, 2), (3, 1) of 7 entries. */
TEST(the_example_of_the_paper)
{
	static const uint32_t with_three[] = { 1, 0, 1, 0, 2, 2, 0 };
	static const uint32_t with_two[] = { 0, 0, 0, 0, 2, 2, 2 };
	/* Upper half modulo 7 is the offset, lower half modulo 6 the skip less one; rising. */
	const uint64_t b0 = 3ull << 32 | 3, b1 = 7ull << 32 | 1, b2 = 10ull << 32 | 0;
	const uint64_t three[] = { b0, b1, b2 }, two[] = { b0, b2 };
	struct rl_maglev *m = rl_maglev_new(three, 3, 7);
	for (uint32_t i = 0; i < 7; i++)
		CHECK_EQ(rl_maglev_find(m, hash_for(i, 7)), with_three[i]);
	rl_maglev_free(m);
	m = rl_maglev_new(two, 2, 7);
	for (uint32_t i = 0; i < 7; i++)
		CHECK_EQ(rl_maglev_find(m, hash_for(i, 7)) * 2, with_two[i]);
	rl_maglev_free(m);
}

TEST(shares_differ_by_one_entry_at_most)
{
	for (uint32_t nodes = 1; nodes <= NODES_MAX; nodes++) {
		struct rl_maglev *m = table_of(nodes, RL_MAGLEV_SIZE);
		uint32_t count[NODES_MAX] = { 0 };
		for (uint32_t i = 0; i < RL_MAGLEV_SIZE; i++)
			count[rl_maglev_find(m, hash_for(i, RL_MAGLEV_SIZE))]++;
		for (uint32_t i = 0; i < nodes; i++)
			CHECK(count[i] - RL_MAGLEV_SIZE / nodes <= 1);
		rl_maglev_free(m);
	}
}

TEST(ten_to_eleven_moves_little_more_than_one_in_eleven)
{
	struct rl_maglev *ten = table_of(10, RL_MAGLEV_SIZE), *eleven = table_of(11, RL_MAGLEV_SIZE);
	int moved = 0;
	for (int64_t k = 0; k < KEYS; k++) {
		uint64_t hash = rl_hash_int(k, 7);
		moved += rl_maglev_find(ten, hash) != rl_maglev_find(eleven, hash);
	}
	CHECK(moved > KEYS * 0.0905 && moved < KEYS * 0.111);
	rl_maglev_free(ten);
	rl_maglev_free(eleven);
}

TEST(the_order_of_nodes_does_not_matter)
{
	const uint64_t ids[] = { 11ull << 40, 5ull << 50, 3, 77ull << 33 | 9 };
	const uint64_t turned[] = { ids[2], ids[0], ids[3], ids[1] };
	struct rl_maglev *a = rl_maglev_new(ids, 4, 101), *b = rl_maglev_new(turned, 4, 101);
	for (uint32_t i = 0; i < 101; i++) {
		uint64_t hash = hash_for(i, 101);
		CHECK(ids[rl_maglev_find(a, hash)] == turned[rl_maglev_find(b, hash)]);
	}
	rl_maglev_free(a);
	rl_maglev_free(b);
}

TEST(sizes_are_primes_with_room)
{
	CHECK(rl_maglev_is_size(RL_MAGLEV_SIZE, RL_MAGLEV_NODES_MAX));
	CHECK(rl_maglev_is_size(2, 2) && rl_maglev_is_size(3, 1) && rl_maglev_is_size(655373, 1));
	CHECK(!rl_maglev_is_size(0, 0) && !rl_maglev_is_size(1, 1));
	CHECK(!rl_maglev_is_size(65536, 1) && !rl_maglev_is_size(9, 1) && !rl_maglev_is_size(49, 1));
	CHECK(!rl_maglev_is_size(7, 8));
	CHECK(!rl_maglev_is_size(16777259, 1)); /* a prime beyond the maximum */
}

TEST(a_full_table_of_as_many_nodes_as_entries)
{
	struct rl_maglev *m = table_of(13, 13);
	uint32_t seen = 0;
	for (uint32_t i = 0; i < 13; i++)
		seen |= 1u << rl_maglev_find(m, hash_for(i, 13));
	CHECK_EQ(seen, (1u << 13) - 1);
	CHECK(rl_maglev_find(m, UINT64_MAX) < 13);
	rl_maglev_free(m);
	rl_maglev_free(NULL);
}

int main(void)
{
	RUN(the_example_of_the_paper);
	RUN(shares_differ_by_one_entry_at_most);
	RUN(ten_to_eleven_moves_little_more_than_one_in_eleven);
	RUN(the_order_of_nodes_does_not_matter);
	RUN(sizes_are_primes_with_room);
	RUN(a_full_table_of_as_many_nodes_as_entries);
	return FINISH();
}
