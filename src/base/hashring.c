/* SPDX-License-Identifier: MIT */
/*
 * hashring: sorted points with an index of buckets, so that a lookup looks at one or two points
 * however many there are, and at log2 of them where they cluster.
 *
 * Invariants: positions[0..len) never fall, and of points on one position the one that counts comes
 * first; owners[len] == owners[0], so that a position behind the last point needs no case of its
 * own; starts[b] is the number of points below bucket b, which holds the positions whose upper bits
 * are b.
 */
#include "base/hashring.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define POSITION_BITS 32

struct rl_hashring {
	uint32_t len, nodes;
	unsigned shift;       /* of a position, to its bucket */
	uint32_t *positions;
	uint32_t *owners;     /* by point */
	uint32_t *starts;     /* by bucket, and one more */
	uint32_t *shares;     /* by node */
	uint64_t *ids;        /* by node */
};

struct ranked {
	uint64_t id;
	uint32_t node;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->node < y->node ? -1 : 1;
}

static int compare_words(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Nodes in the order of their ids. */
static struct ranked *rank_nodes(const uint64_t *ids, uint32_t nodes)
{
	struct ranked *ranked = malloc(nodes * sizeof *ranked);
	if (!ranked)
		return NULL;
	for (uint32_t i = 0; i < nodes; i++)
		ranked[i] = (struct ranked){ ids[i], i };
	qsort(ranked, nodes, sizeof *ranked, compare_ranked);
	return ranked;
}

/* Points as words that sort by position, then by the rank of their node. */
static uint64_t *sort_points(const struct ranked *ranked, uint32_t nodes,
	const struct rl_hashring_point *points, uint32_t len)
{
	uint64_t *words = malloc(len * sizeof *words);
	uint32_t *ranks = malloc(nodes * sizeof *ranks);
	if (words && ranks) {
		for (uint32_t i = 0; i < nodes; i++)
			ranks[ranked[i].node] = i;
		for (uint32_t i = 0; i < len; i++)
			words[i] = (uint64_t)points[i].position << 32 | ranks[points[i].node];
		qsort(words, len, sizeof *words, compare_words);
	} else {
		free(words);
		words = NULL;
	}
	free(ranks);
	return words;
}

static void take_points(struct rl_hashring *r, const struct ranked *ranked, const uint64_t *words)
{
	for (uint32_t i = 0; i < r->len; i++) {
		r->positions[i] = (uint32_t)(words[i] >> 32);
		r->owners[i] = ranked[(uint32_t)words[i]].node;
		r->shares[r->owners[i]]++;
	}
	r->owners[r->len] = r->owners[0];
}

static void index_buckets(struct rl_hashring *r)
{
	uint32_t buckets = 1u << (POSITION_BITS - r->shift), i = 0;
	for (uint32_t b = 0; b < buckets; b++) {
		while (i < r->len && r->positions[i] >> r->shift < b)
			i++;
		r->starts[b] = i;
	}
	r->starts[buckets] = r->len;
}

/* At least as many buckets as points: one point in each on average. */
static unsigned shift_for(uint32_t len)
{
	unsigned bits = 1;
	while (1u << bits < len)
		bits++;
	return POSITION_BITS - bits;
}

static struct rl_hashring *allocate(uint32_t nodes, uint32_t len)
{
	struct rl_hashring *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->len = len;
	r->nodes = nodes;
	r->shift = shift_for(len);
	r->positions = malloc(len * sizeof *r->positions);
	r->owners = malloc(((size_t)len + 1) * sizeof *r->owners);
	r->starts = malloc(((1u << (POSITION_BITS - r->shift)) + 1) * sizeof *r->starts);
	r->shares = calloc(nodes, sizeof *r->shares);
	r->ids = malloc(nodes * sizeof *r->ids);
	if (r->positions && r->owners && r->starts && r->shares && r->ids)
		return r;
	rl_hashring_free(r);
	return NULL;
}

struct rl_hashring *rl_hashring_new(const uint64_t *ids, uint32_t nodes,
	const struct rl_hashring_point *points, uint32_t len)
{
	RL_ASSERT(nodes > 0);
	RL_ASSERT(len > 0 && len <= RL_HASHRING_POINTS_MAX);
	for (uint32_t i = 0; i < len; i++)
		RL_ASSERT(points[i].node < nodes);
	struct rl_hashring *r = allocate(nodes, len);
	struct ranked *ranked = rank_nodes(ids, nodes);
	uint64_t *words = ranked ? sort_points(ranked, nodes, points, len) : NULL;
	if (r && words) {
		memcpy(r->ids, ids, nodes * sizeof *ids);
		take_points(r, ranked, words);
		index_buckets(r);
	} else {
		rl_hashring_free(r);
		r = NULL;
	}
	free(words);
	free(ranked);
	return r;
}

void rl_hashring_free(struct rl_hashring *r)
{
	if (!r)
		return;
	free(r->positions);
	free(r->owners);
	free(r->starts);
	free(r->shares);
	free(r->ids);
	free(r);
}

/* The first point at or after a position: len when there is none. */
static inline uint32_t point_at(const struct rl_hashring *r, uint32_t position)
{
	uint32_t bucket = position >> r->shift;
	uint32_t low = r->starts[bucket], high = r->starts[bucket + 1];
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (r->positions[middle] < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t rl_hashring_find(const struct rl_hashring *r, uint32_t position)
{
	return r->owners[point_at(r, position)];
}

uint32_t rl_hashring_first(const struct rl_hashring *r, uint32_t position)
{
	uint32_t point = point_at(r, position);
	return point == r->len ? 0 : point;
}

uint32_t rl_hashring_node(const struct rl_hashring *r, uint32_t point)
{
	RL_DEBUG_ASSERT(point < r->len);
	return r->owners[point];
}

uint32_t rl_hashring_next(const struct rl_hashring *r, uint32_t point)
{
	return point + 1 == r->len ? 0 : point + 1;
}

uint32_t rl_hashring_nodes(const struct rl_hashring *r)
{
	return r->nodes;
}

uint32_t rl_hashring_len(const struct rl_hashring *r)
{
	return r->len;
}

uint32_t rl_hashring_share(const struct rl_hashring *r, uint32_t node)
{
	RL_DEBUG_ASSERT(node < r->nodes);
	return r->shares[node];
}

/* The last position that belongs to point i, from below; behind the last point, the last of all. */
static uint32_t stretch_end(const struct rl_hashring *r, uint32_t i)
{
	return i < r->len ? r->positions[i] : UINT32_MAX;
}

static uint32_t points_through(const struct rl_hashring *r, uint32_t i, uint32_t position)
{
	while (i < r->len && r->positions[i] <= position)
		i++;
	return i;
}

/* One move more, or the last one longer; returns how many there are now. */
static uint32_t add_move(struct rl_hashring_move *moves, uint32_t n, struct rl_hashring_move m)
{
	struct rl_hashring_move *last = n > 0 ? &moves[n - 1] : NULL;
	if (last && last->last + 1 == m.first && last->from == m.from && last->to == m.to) {
		last->last = m.last;
		return n;
	}
	moves[n] = m;
	return n + 1;
}

uint32_t rl_hashring_diff(const struct rl_hashring *from, const struct rl_hashring *to,
	struct rl_hashring_move *moves)
{
	uint32_t n = 0, i = 0, k = 0, first = 0, last;
	do { /* a stretch on which neither ring changes owner */
		uint32_t end = stretch_end(from, i), end_to = stretch_end(to, k);
		uint32_t old = from->owners[i], new = to->owners[k];
		last = end < end_to ? end : end_to;
		if (from->ids[old] != to->ids[new])
			n = add_move(moves, n, (struct rl_hashring_move){ first, last, old, new });
		i = points_through(from, i, last);
		k = points_through(to, k, last);
		first = last + 1;
	} while (last != UINT32_MAX);
	return n;
}
