/* SPDX-License-Identifier: MIT */
/*
 * bounded: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016). A
 * position goes to the first node clockwise that has room. With e for epsilon and m units of load,
 * the new one included, a node has room while it holds fewer than (1 + e) * m times its share of
 * the points of the ring; so with equal shares no unit brings a node above
 * ceil((1 + e) * m / nodes). The arithmetic is exact.
 *
 * A unit that was acquired stays where it is: after others were released a node may hold more than
 * the bound of now, and gets nothing until it does not.
 */
#ifndef RL_BASE_BOUNDED_H
#define RL_BASE_BOUNDED_H

#include <stdint.h>

#define RL_BOUNDED_ONE 1000000           /* epsilon is in millionths: this is 1 */
#define RL_BOUNDED_EPSILON_MAX 1000000000u
#define RL_BOUNDED_LOAD_MAX 0x7fffffffu  /* of all nodes together */

struct rl_bounded;
struct rl_hashring;

/* Without load. Epsilon is at least 1 and at most its maximum. The ring stays the caller's and must
 * outlive it. NULL when out of memory. */
struct rl_bounded *rl_bounded_new(const struct rl_hashring *ring, uint32_t epsilon);

/* NULL is fine. */
void rl_bounded_free(struct rl_bounded *b);

/* The node that would get the next unit of this position. */
uint32_t rl_bounded_find(const struct rl_bounded *b, uint32_t position);

/* Put a unit of load on the node that rl_bounded_find says. 0, or -EOVERFLOW at the maximum. */
int rl_bounded_acquire(struct rl_bounded *b, uint32_t position, uint32_t *node);

/* Put `load` units on a node, bound or not. 0, or -EOVERFLOW. */
int rl_bounded_add(struct rl_bounded *b, uint32_t node, uint32_t load);

/* Take a unit from a node. 0, or -EINVAL when it has none. */
int rl_bounded_release(struct rl_bounded *b, uint32_t node);

uint32_t rl_bounded_load(const struct rl_bounded *b, uint32_t node);

#endif
