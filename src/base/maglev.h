/* SPDX-License-Identifier: MIT */
/*
 * maglev: the lookup table of Eisenbud et al., "Maglev: a fast and reliable software network load
 * balancer" (2016), section 3.4. A lookup reads one entry; the shares of two nodes differ by at
 * most one entry; a change of nodes moves little more than it must.
 *
 * The table depends on the set of ids, not on their order.
 */
#ifndef RL_BASE_MAGLEV_H
#define RL_BASE_MAGLEV_H

#include <stdbool.h>
#include <stdint.h>

#define RL_MAGLEV_SIZE 65537u
#define RL_MAGLEV_SIZE_MAX (1u << 24)
#define RL_MAGLEV_NODES_MAX 65535u /* an entry has 16 bits */

struct rl_maglev;

/* May a table for `nodes` nodes have this size? A prime, not below their number. */
bool rl_maglev_is_size(uint32_t size, uint32_t nodes);

/* A table of such a size for 1 to RL_MAGLEV_NODES_MAX nodes. Keeps no array. NULL when out of
 * memory. */
struct rl_maglev *rl_maglev_new(const uint64_t *ids, uint32_t nodes, uint32_t size);

/* NULL is fine. */
void rl_maglev_free(struct rl_maglev *m);

uint32_t rl_maglev_find(const struct rl_maglev *m, uint64_t hash);

#endif
