/* SPDX-License-Identifier: MIT */
/*
 * bounded: loads beside a ring. Invariants: `total` is the sum of the loads and at most
 * RL_BOUNDED_LOAD_MAX. The bounds of all nodes sum to more than `total`, so there is always one
 * with room, whatever the loads are.
 */
#include "base/bounded.h"

#include "base/check.h"
#include "base/hashring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct rl_bounded {
	const struct rl_hashring *ring;
	uint64_t factor;  /* 1 + epsilon, in millionths */
	uint64_t points;  /* the shares of all nodes */
	uint32_t total;
	uint32_t loads[]; /* by node */
};

struct rl_bounded *rl_bounded_new(const struct rl_hashring *ring, uint32_t epsilon)
{
	RL_ASSERT(epsilon >= 1 && epsilon <= RL_BOUNDED_EPSILON_MAX);
	uint32_t nodes = rl_hashring_nodes(ring);
	struct rl_bounded *b = calloc(1, sizeof *b + nodes * sizeof *b->loads);
	if (!b)
		return NULL;
	b->ring = ring;
	b->factor = (uint64_t)RL_BOUNDED_ONE + epsilon;
	for (uint32_t i = 0; i < nodes; i++)
		b->points += rl_hashring_share(ring, i);
	return b;
}

void rl_bounded_free(struct rl_bounded *b)
{
	free(b);
}

/* load < ceil(x) is load < x for a whole load; both sides times what x is divided by. */
static bool has_room(const struct rl_bounded *b, uint32_t node)
{
	uint64_t share = rl_hashring_share(b->ring, node);
	unsigned __int128 load = (unsigned __int128)b->loads[node] * b->points * RL_BOUNDED_ONE;
	return load < (unsigned __int128)b->factor * ((uint64_t)b->total + 1) * share;
}

uint32_t rl_bounded_find(const struct rl_bounded *b, uint32_t position)
{
	uint32_t point = rl_hashring_first(b->ring, position);
	uint32_t node = rl_hashring_node(b->ring, point);
	for (uint32_t n = rl_hashring_len(b->ring); n > 0 && !has_room(b, node); n--) {
		point = rl_hashring_next(b->ring, point);
		node = rl_hashring_node(b->ring, point);
	}
	return node;
}

int rl_bounded_acquire(struct rl_bounded *b, uint32_t position, uint32_t *node)
{
	*node = rl_bounded_find(b, position);
	return rl_bounded_add(b, *node, 1);
}

int rl_bounded_add(struct rl_bounded *b, uint32_t node, uint32_t load)
{
	RL_ASSERT(node < rl_hashring_nodes(b->ring));
	if (load > RL_BOUNDED_LOAD_MAX - b->total)
		return -EOVERFLOW;
	b->loads[node] += load;
	b->total += load;
	return 0;
}

int rl_bounded_release(struct rl_bounded *b, uint32_t node)
{
	RL_ASSERT(node < rl_hashring_nodes(b->ring));
	if (b->loads[node] == 0)
		return -EINVAL;
	b->loads[node]--;
	b->total--;
	return 0;
}

uint32_t rl_bounded_load(const struct rl_bounded *b, uint32_t node)
{
	RL_ASSERT(node < rl_hashring_nodes(b->ring));
	return b->loads[node];
}
