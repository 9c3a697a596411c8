/* SPDX-License-Identifier: MIT */
/* bounded: the bound, exactly, over random sequences; what is full is skipped clockwise. */
#include "base/bounded.h"

#include "base/hash.h"
#include "base/hashring.h"
#include "base/rand.h"
#include "check.h"

#include <errno.h>
#include <stdbool.h>

enum { NODES_MAX = 16, VNODES = 32, UNITS = 2000 };

/* `weights[i]` times VNODES points for node i. */
static struct rl_hashring *ring_of(const uint32_t *weights, uint32_t nodes)
{
	static struct rl_hashring_point points[NODES_MAX * VNODES * 4];
	uint64_t ids[NODES_MAX];
	uint32_t len = 0;
	for (uint32_t i = 0; i < nodes; i++) {
		ids[i] = rl_hash_int(i, 0);
		for (uint32_t k = 0; k < weights[i] * VNODES; k++) {
			uint32_t position = (uint32_t)rl_hash_int(k, ids[i]);
			points[len++] = (struct rl_hashring_point){ position, i };
		}
	}
	return rl_hashring_new(ids, nodes, points, len);
}

static const uint32_t even[NODES_MAX] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

/* ceil((1 + epsilon) * total * weight / weights) */
static uint64_t bound_of(uint32_t epsilon, uint64_t total, uint64_t weight, uint64_t weights)
{
	uint64_t above = (RL_BOUNDED_ONE + (uint64_t)epsilon) * total * weight;
	uint64_t below = RL_BOUNDED_ONE * weights;
	return (above + below - 1) / below;
}

TEST(no_node_is_ever_above_the_bound)
{
	static const uint32_t epsilons[] = { 1, 100000, 250000, 333333, 1000000, 5000000 };
	struct rl_rand r;
	rl_rand_seed(&r, 1);
	int above = 0;
	for (uint32_t nodes = 1; nodes <= NODES_MAX; nodes++)
		for (unsigned e = 0; e < sizeof epsilons / sizeof *epsilons; e++) {
			struct rl_hashring *ring = ring_of(even, nodes);
			struct rl_bounded *b = rl_bounded_new(ring, epsilons[e]);
			for (uint64_t total = 1; total <= UNITS; total++) {
				uint32_t node;
				CHECK_EQ(rl_bounded_acquire(b, (uint32_t)rl_rand_next(&r), &node), 0);
				for (uint32_t i = 0; i < nodes; i++)
					above += rl_bounded_load(b, i) > bound_of(epsilons[e], total, 1, nodes);
			}
			rl_bounded_free(b);
			rl_hashring_free(ring);
		}
	CHECK_EQ(above, 0);
}

/* With one key alone the nodes fill one after the other, each to just the bound. */
TEST(the_bound_is_reached)
{
	struct rl_hashring *ring = ring_of(even, 10);
	struct rl_bounded *b = rl_bounded_new(ring, 250000);
	uint32_t node, home = rl_hashring_find(ring, 77);
	for (uint64_t total = 1; total <= 1000; total++) {
		rl_bounded_acquire(b, 77, &node);
		CHECK_EQ(rl_bounded_load(b, home), bound_of(250000, total, 1, 10));
	}
	rl_bounded_free(b);
	rl_hashring_free(ring);
}

TEST(random_acquires_and_releases)
{
	static const uint32_t weights[] = { 1, 2, 1, 3, 1 };
	struct rl_hashring *ring = ring_of(weights, 5);
	struct rl_bounded *b = rl_bounded_new(ring, 100000);
	uint32_t loads[5] = { 0 }, total = 0;
	int wrong = 0;
	struct rl_rand r;
	rl_rand_seed(&r, 2);
	for (int step = 0; step < 200000; step++) {
		uint32_t node = (uint32_t)rl_rand_below(&r, 5), position = (uint32_t)rl_rand_next(&r);
		bool grows = rl_rand_below(&r, 100) < (step / 5000 % 2 ? 30 : 70);
		if (grows) {
			uint32_t found = rl_bounded_find(b, position);
			CHECK_EQ(rl_bounded_acquire(b, position, &node), 0);
			total++;
			wrong += node != found || ++loads[node] > bound_of(100000, total, weights[node], 8);
		} else if (rl_bounded_release(b, node) == 0) {
			wrong += loads[node]-- == 0;
			total--;
		} else {
			wrong += loads[node] != 0;
		}
		wrong += loads[node] != rl_bounded_load(b, node);
	}
	CHECK_EQ(wrong, 0);
	rl_bounded_free(b);
	rl_hashring_free(ring);
}

/* The node is the first clockwise that is below the bound. */
TEST(what_is_full_is_skipped_in_ring_order)
{
	struct rl_hashring *ring = ring_of(even, 6);
	struct rl_bounded *b = rl_bounded_new(ring, 200000);
	struct rl_rand r;
	rl_rand_seed(&r, 3);
	for (uint32_t total = 1; total <= UNITS; total++) {
		uint32_t position = (uint32_t)rl_rand_below(&r, 1u << 30), node;
		uint32_t point = rl_hashring_first(ring, position);
		while (rl_bounded_load(b, rl_hashring_node(ring, point)) >= bound_of(200000, total, 1, 6))
			point = rl_hashring_next(ring, point);
		rl_bounded_acquire(b, position, &node);
		CHECK_EQ(node, rl_hashring_node(ring, point));
	}
	rl_bounded_free(b);
	rl_hashring_free(ring);
}

TEST(a_node_without_load_cannot_release)
{
	struct rl_hashring *ring = ring_of(even, 2);
	struct rl_bounded *b = rl_bounded_new(ring, 250000);
	uint32_t node;
	CHECK_EQ(rl_bounded_release(b, 0), -EINVAL);
	CHECK_EQ(rl_bounded_acquire(b, 1, &node), 0);
	CHECK_EQ(rl_bounded_release(b, 1 - node), -EINVAL);
	CHECK_EQ(rl_bounded_release(b, node), 0);
	CHECK_EQ(rl_bounded_release(b, node), -EINVAL);
	rl_bounded_free(b);
	rl_hashring_free(ring);
}

TEST(loads_that_are_too_uneven_still_find_room)
{
	struct rl_hashring *ring = ring_of(even, 3);
	struct rl_bounded *b = rl_bounded_new(ring, 1);
	uint32_t node;
	CHECK_EQ(rl_bounded_add(b, 0, 1000), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		CHECK_EQ(rl_bounded_acquire(b, i << 20, &node), 0);
		CHECK(node != 0);
	}
	rl_bounded_free(b);
	rl_hashring_free(ring);
}

TEST(the_limit_is_hard_and_exact)
{
	struct rl_hashring *ring = ring_of(even, 2);
	struct rl_bounded *b = rl_bounded_new(ring, RL_BOUNDED_EPSILON_MAX);
	uint32_t node;
	CHECK_EQ(rl_bounded_add(b, 0, RL_BOUNDED_LOAD_MAX - 1), 0);
	CHECK_EQ(rl_bounded_acquire(b, 5, &node), 0);
	CHECK_EQ(rl_bounded_acquire(b, 5, &node), -EOVERFLOW);
	CHECK_EQ(rl_bounded_add(b, 1, 1), -EOVERFLOW);
	CHECK_EQ(rl_bounded_add(b, 1, 0), 0);
	rl_bounded_free(b);
	rl_hashring_free(ring);
}

int main(void)
{
	RUN(no_node_is_ever_above_the_bound);
	RUN(the_bound_is_reached);
	RUN(random_acquires_and_releases);
	RUN(what_is_full_is_skipped_in_ring_order);
	RUN(a_node_without_load_cannot_release);
	RUN(loads_that_are_too_uneven_still_find_room);
	RUN(the_limit_is_hard_and_exact);
	return FINISH();
}
