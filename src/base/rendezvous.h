/* SPDX-License-Identifier: MIT */
/*
 * rendezvous: highest random weight (Thaler and Ravishankar, 1998). A key belongs to the node with
 * which it scores highest; so keys move only to a node that came and only from one that went.
 * With weights, after Schindelhauer and Schomaker (2005): a node gets keys in proportion to its
 * weight, and changing a weight moves keys to or from that node alone. A lookup asks every node.
 */
#ifndef RL_BASE_RENDEZVOUS_H
#define RL_BASE_RENDEZVOUS_H

#include <stdint.h>

struct rl_rendezvous;

/* At least one node, with an id each and, unless NULL, a weight above 0 each. Keeps no array. NULL
 * when out of memory. */
struct rl_rendezvous *rl_rendezvous_new(const uint64_t *ids, const double *weights,
	uint32_t nodes);

/* NULL is fine. */
void rl_rendezvous_free(struct rl_rendezvous *r);

uint32_t rl_rendezvous_find(const struct rl_rendezvous *r, uint64_t hash);

#endif
