/* SPDX-License-Identifier: MIT */
/*
 * hashring: consistent hashing (Karger et al., 1997). Nodes have points on a circle of 2^32
 * positions. A position belongs to the first point at or after it; behind the last point comes the
 * first. Adding a node takes positions for it alone, removing one gives away its own alone.
 *
 * A ring never changes. Nodes are 0 to n - 1; their ids say which node of one ring is which of
 * another, and whose a position is on which several have a point: that of the lowest id.
 */
#ifndef RL_BASE_HASHRING_H
#define RL_BASE_HASHRING_H

#include <stdint.h>

#ifndef RL_HASHRING_POINTS_MAX
#define RL_HASHRING_POINTS_MAX (1u << 24)
#endif

struct rl_hashring;

struct rl_hashring_point {
	uint32_t position;
	uint32_t node;
};

/* The positions from `first` to `last`, both included, belong to another node than before. */
struct rl_hashring_move {
	uint32_t first, last;
	uint32_t from, to; /* a node of the old ring, one of the new */
};

/*
 * A ring of `nodes` nodes with their ids and `len` points (1 to RL_HASHRING_POINTS_MAX) in any
 * order. Keeps neither array. NULL when out of memory.
 */
struct rl_hashring *rl_hashring_new(const uint64_t *ids, uint32_t nodes,
	const struct rl_hashring_point *points, uint32_t len);

/* NULL is fine. */
void rl_hashring_free(struct rl_hashring *r);

/* The node to which a position belongs. */
uint32_t rl_hashring_find(const struct rl_hashring *r, uint32_t position);

/* The same as a walk: the point to which it belongs, the node of a point, the point after it. */
uint32_t rl_hashring_first(const struct rl_hashring *r, uint32_t position);
uint32_t rl_hashring_node(const struct rl_hashring *r, uint32_t point);
uint32_t rl_hashring_next(const struct rl_hashring *r, uint32_t point);

uint32_t rl_hashring_nodes(const struct rl_hashring *r);

/* The number of points, and of those of a node. */
uint32_t rl_hashring_len(const struct rl_hashring *r);
uint32_t rl_hashring_share(const struct rl_hashring *r, uint32_t node);

/*
 * What changes owner from one ring to another, as moves in order of position, none of which can be
 * joined with the next. Returns their number, at most the sum of both lengths plus one, for which
 * `moves` must have room.
 */
uint32_t rl_hashring_diff(const struct rl_hashring *from, const struct rl_hashring *to,
	struct rl_hashring_move *moves);

#endif
