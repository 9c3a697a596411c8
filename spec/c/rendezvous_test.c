/* SPDX-License-Identifier: MIT */
/* rendezvous: keys move only to who comes and from who goes; shares follow the weights. */
#include "base/rendezvous.c" /* the cost of a score */

#include "base/hash.h"
#include "check.h"

enum { KEYS = 1000000, NODES_MAX = 16 };

/* Nodes 0 to n - 1 but for one; their ids are left in `ids`. */
static struct rl_rendezvous *router_of(uint32_t n, uint32_t without, const double *weights,
	uint64_t ids[NODES_MAX])
{
	double kept[NODES_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < n; i++)
		if (i != without) {
			kept[len] = weights ? weights[i] : 1;
			ids[len++] = rl_hash_int(i, 0);
		}
	return rl_rendezvous_new(ids, weights ? kept : NULL, len);
}

/* How many keys change owner, and how many of those are neither from nor to `id`. */
static int moved(const struct rl_rendezvous *a, const uint64_t *ids_a,
	const struct rl_rendezvous *b, const uint64_t *ids_b, uint64_t id, int *wrong)
{
	int n = 0;
	for (int64_t k = 0; k < KEYS; k++) {
		uint64_t before = ids_a[rl_rendezvous_find(a, rl_hash_int(k, 3))];
		uint64_t now = ids_b[rl_rendezvous_find(b, rl_hash_int(k, 3))];
		n += before != now;
		*wrong += before != now && before != id && now != id;
	}
	return n;
}

static bool is_near(double got, double want)
{
	return got > want - 1e-10 && got < want + 1e-10;
}

TEST(the_cost_is_a_logarithm)
{
	CHECK(is_near(cost_of(0), 64));
	CHECK(is_near(cost_of(7), 64 - 2.807354922057604));
	CHECK(is_near(cost_of(1ull << 40 | 1), 24));
	CHECK(is_near(cost_of(1ull << 63), 1));
	CHECK(is_near(cost_of(3ull << 62), 2 - 1.584962500721156));
	CHECK(is_near(cost_of(UINT64_MAX), 0));
	CHECK(cost_of(UINT64_MAX) > 0); /* or a weight would count the wrong way round */
}

TEST(ten_to_eleven_moves_one_in_eleven_and_only_to_the_new)
{
	uint64_t ids_a[NODES_MAX], ids_b[NODES_MAX];
	struct rl_rendezvous *ten = router_of(10, NODES_MAX, NULL, ids_a);
	struct rl_rendezvous *eleven = router_of(11, NODES_MAX, NULL, ids_b);
	int wrong = 0, n = moved(ten, ids_a, eleven, ids_b, ids_b[10], &wrong);
	CHECK_EQ(wrong, 0);
	CHECK(n > KEYS / 11 - KEYS / 500 && n < KEYS / 11 + KEYS / 500);
	rl_rendezvous_free(ten);
	rl_rendezvous_free(eleven);
}

TEST(a_removed_node_gives_away_its_own_alone)
{
	uint64_t ids_a[NODES_MAX], ids_b[NODES_MAX];
	struct rl_rendezvous *all = router_of(10, NODES_MAX, NULL, ids_a);
	struct rl_rendezvous *rest = router_of(10, 4, NULL, ids_b);
	int wrong = 0, n = moved(all, ids_a, rest, ids_b, ids_a[4], &wrong);
	CHECK_EQ(wrong, 0);
	CHECK(n > KEYS / 10 - KEYS / 500 && n < KEYS / 10 + KEYS / 500);
	rl_rendezvous_free(all);
	rl_rendezvous_free(rest);
}

TEST(shares_follow_the_weights)
{
	static const double weights[] = { 1, 2, 0.5, 3.5, 1 };
	uint64_t ids[NODES_MAX];
	struct rl_rendezvous *r = router_of(5, NODES_MAX, weights, ids);
	int count[5] = { 0 };
	for (int64_t k = 0; k < KEYS; k++)
		count[rl_rendezvous_find(r, rl_hash_int(k, 3))]++;
	for (int i = 0; i < 5; i++) { /* five standard deviations are 2,500 at most */
		double want = KEYS * weights[i] / 8;
		CHECK(count[i] > want - 2500 && count[i] < want + 2500);
	}
	rl_rendezvous_free(r);
}

TEST(a_changed_weight_moves_keys_to_or_from_its_node_alone)
{
	static const double light[] = { 1, 2, 1, 1 }, heavy[] = { 1, 2, 1.5, 1 };
	uint64_t ids[NODES_MAX];
	struct rl_rendezvous *a = router_of(4, NODES_MAX, light, ids);
	struct rl_rendezvous *b = router_of(4, NODES_MAX, heavy, ids);
	int wrong = 0, n = moved(a, ids, b, ids, ids[2], &wrong);
	CHECK_EQ(wrong, 0);
	CHECK(n > KEYS * 0.070 && n < KEYS * 0.076); /* 1.5 / 5.5 less 1 / 5 is 7.3 % */
	rl_rendezvous_free(a);
	rl_rendezvous_free(b);
}

TEST(equal_weights_are_no_weights)
{
	static const double weights[] = { 3, 3, 3, 3, 3, 3 };
	static const double almost[] = { 3, 3, 3, 3, 3, 3.0000000001 };
	uint64_t ids[NODES_MAX];
	struct rl_rendezvous *plain = router_of(6, NODES_MAX, NULL, ids);
	struct rl_rendezvous *even = router_of(6, NODES_MAX, weights, ids);
	struct rl_rendezvous *slow = router_of(6, NODES_MAX, almost, ids);
	int wrong = 0;
	CHECK_EQ(moved(plain, ids, even, ids, 0, &wrong), 0);
	CHECK_EQ(moved(plain, ids, slow, ids, 0, &wrong), 0);
	rl_rendezvous_free(plain);
	rl_rendezvous_free(even);
	rl_rendezvous_free(slow);
	rl_rendezvous_free(NULL);
}

int main(void)
{
	RUN(the_cost_is_a_logarithm);
	RUN(ten_to_eleven_moves_one_in_eleven_and_only_to_the_new);
	RUN(a_removed_node_gives_away_its_own_alone);
	RUN(shares_follow_the_weights);
	RUN(a_changed_weight_moves_keys_to_or_from_its_node_alone);
	RUN(equal_weights_are_no_weights);
	return FINISH();
}
