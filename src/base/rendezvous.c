/* SPDX-License-Identifier: MIT */
/*
 * rendezvous: a score is a mix of the hash and the node's id. Mixing is a bijection, so two nodes
 * never have the same score for one key. With weights the winner is who has the least
 * -log2(score / 2^64) / weight; when all weights are equal that is the highest score.
 */
#include "base/rendezvous.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdlib.h>

struct node {
	uint64_t id;
	double weight;
};

struct rl_rendezvous {
	uint32_t nodes;
	bool is_weighted;
	struct node list[];
};

struct rl_rendezvous *rl_rendezvous_new(const uint64_t *ids, const double *weights,
	uint32_t nodes)
{
	RL_ASSERT(nodes > 0);
	struct rl_rendezvous *r = malloc(sizeof *r + nodes * sizeof *r->list);
	if (!r)
		return NULL;
	r->nodes = nodes;
	r->is_weighted = false;
	for (uint32_t i = 0; i < nodes; i++) {
		r->list[i] = (struct node){ ids[i], weights ? weights[i] : 1 };
		r->is_weighted |= r->list[i].weight != r->list[0].weight;
	}
	return r;
}

void rl_rendezvous_free(struct rl_rendezvous *r)
{
	free(r);
}

/*
 * 64 - log2(x) to about ten digits, by the series of the inverse hyperbolic tangent. Not libm's
 * log: its last digit may differ from machine to machine, and nothing else here needs libm.
 */
static double cost_of(uint64_t x)
{
	static const double log2_e_twice = 2.88539008177792681;
	int zeros = __builtin_clzll(x | 1);
	double mantissa = (double)((x | 1) << zeros) / 9223372036854775808.0;
	double s = (mantissa - 1) / (mantissa + 1), power = s, sum = 0;
	for (int k = 1; k <= 19; k += 2) {
		sum += power / k;
		power *= s * s;
	}
	return 1 + zeros - log2_e_twice * sum;
}

static uint32_t find_cheapest(const struct rl_rendezvous *r, uint64_t hash)
{
	uint32_t best = 0;
	double least = cost_of(rl_hash_mix(hash ^ r->list[0].id)) / r->list[0].weight;
	for (uint32_t i = 1; i < r->nodes; i++) {
		double cost = cost_of(rl_hash_mix(hash ^ r->list[i].id)) / r->list[i].weight;
		if (cost < least) {
			least = cost;
			best = i;
		}
	}
	return best;
}

uint32_t rl_rendezvous_find(const struct rl_rendezvous *r, uint64_t hash)
{
	if (r->is_weighted)
		return find_cheapest(r, hash);
	uint32_t best = 0;
	uint64_t highest = rl_hash_mix(hash ^ r->list[0].id);
	for (uint32_t i = 1; i < r->nodes; i++) {
		uint64_t score = rl_hash_mix(hash ^ r->list[i].id);
		if (score > highest) {
			highest = score;
			best = i;
		}
	}
	return best;
}
