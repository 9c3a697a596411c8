/* SPDX-License-Identifier: MIT */
/* hashring: owners against a search of all points, ties, balance, what moves, diffs. */
#include "base/hashring.h"

#include "base/hash.h"
#include "base/rand.h"
#include "check.h"

#include <stdbool.h>

enum { KEYS = 1000000, VNODES = 128, NODES_MAX = 16, POINTS_MAX = NODES_MAX * VNODES };

struct plan {
	uint32_t nodes, len;
	uint64_t ids[NODES_MAX];
	struct rl_hashring_point points[POINTS_MAX];
};

static void plan_add(struct plan *p, uint64_t id, uint32_t points, uint32_t mask)
{
	for (uint32_t i = 0; i < points; i++) {
		uint32_t position = (uint32_t)(rl_hash_mix(id + rl_hash_mix(i + 1)) >> 32) & mask;
		p->points[p->len++] = (struct rl_hashring_point){ position, p->nodes };
	}
	p->ids[p->nodes++] = id;
}

static struct rl_hashring *plan_ring(const struct plan *p)
{
	return rl_hashring_new(p->ids, p->nodes, p->points, p->len);
}

/* The ring of the nodes 0 to n - 1 but for one. */
static struct rl_hashring *even_ring(uint32_t n, uint32_t without, struct plan *p)
{
	p->nodes = p->len = 0;
	for (uint32_t i = 0; i < n; i++)
		if (i != without)
			plan_add(p, rl_hash_int(i, 0), VNODES, UINT32_MAX);
	return plan_ring(p);
}

/* By looking at every point: the nearest one at or after the position, the lowest id of those. */
static uint64_t slow_owner(const struct plan *p, uint32_t position)
{
	uint32_t nearest = UINT32_MAX;
	uint64_t owner = 0;
	for (uint32_t i = 0; i < p->len; i++) {
		uint32_t distance = p->points[i].position - position;
		uint64_t id = p->ids[p->points[i].node];
		if (i == 0 || distance < nearest || (distance == nearest && id < owner)) {
			nearest = distance;
			owner = id;
		}
	}
	return owner;
}

/* A few nodes with a few points; with a narrow mask many of them on one position. */
static void random_plan(struct plan *p, struct rl_rand *r, uint32_t mask)
{
	uint32_t nodes = 1 + (uint32_t)rl_rand_below(r, 5);
	uint64_t id = rl_rand_below(r, 4);
	p->nodes = p->len = 0;
	for (uint32_t i = 0; i < nodes; i++) {
		plan_add(p, rl_hash_int((int64_t)id, 1), 1 + (uint32_t)rl_rand_below(r, 8), mask);
		id += 1 + rl_rand_below(r, 2);
	}
}

static uint32_t random_mask(struct rl_rand *r)
{
	static const uint32_t masks[] = { UINT32_MAX, 0xf0000000u, 0x1f, 0xc0000001u };
	return masks[rl_rand_below(r, 4)];
}

TEST(owners_are_those_of_a_full_search)
{
	struct plan p;
	struct rl_rand r;
	rl_rand_seed(&r, 1);
	int wrong = 0;
	for (int round = 0; round < 10000; round++) {
		random_plan(&p, &r, random_mask(&r));
		struct rl_hashring *ring = plan_ring(&p);
		for (uint32_t i = 0; i < p.len; i++)
			for (uint32_t d = 0; d < 3; d++) {
				uint32_t at = p.points[i].position + d - 1;
				wrong += p.ids[rl_hashring_find(ring, at)] != slow_owner(&p, at);
			}
		wrong += p.ids[rl_hashring_find(ring, UINT32_MAX)] != slow_owner(&p, UINT32_MAX);
		rl_hashring_free(ring);
	}
	CHECK_EQ(wrong, 0);
}

TEST(a_walk_visits_every_point_once)
{
	struct plan p;
	struct rl_hashring *ring = even_ring(10, UINT32_MAX, &p);
	CHECK_EQ(rl_hashring_len(ring), 10 * VNODES);
	CHECK_EQ(rl_hashring_nodes(ring), 10);
	uint32_t seen[10] = { 0 };
	uint32_t start = rl_hashring_first(ring, 12345), point = start;
	CHECK_EQ(rl_hashring_node(ring, start), rl_hashring_find(ring, 12345));
	do {
		seen[rl_hashring_node(ring, point)]++;
		point = rl_hashring_next(ring, point);
	} while (point != start);
	for (uint32_t i = 0; i < 10; i++) {
		CHECK_EQ(seen[i], VNODES);
		CHECK_EQ(rl_hashring_share(ring, i), VNODES);
	}
	rl_hashring_free(ring);
}

TEST(of_points_on_one_position_the_lowest_id_counts)
{
	const uint64_t ids[] = { 9, 4, 7 };
	const struct rl_hashring_point points[] = {
		{ 5, 0 }, { 5, 1 }, { 5, 2 }, { 80, 2 }, { 80, 0 },
	};
	struct rl_hashring *ring = rl_hashring_new(ids, 3, points, 5);
	CHECK_EQ(rl_hashring_find(ring, 5), 1);
	CHECK_EQ(rl_hashring_find(ring, 6), 2);
	CHECK_EQ(rl_hashring_find(ring, 81), 1);
	CHECK_EQ(rl_hashring_share(ring, 0), 2);
	rl_hashring_free(ring);
}

TEST(one_point_owns_all)
{
	const uint64_t id = 1;
	const struct rl_hashring_point point = { 1u << 31, 0 };
	struct rl_hashring *ring = rl_hashring_new(&id, 1, &point, 1);
	const uint32_t positions[] = { 0, (1u << 31) - 1, 1u << 31, (1u << 31) + 1, UINT32_MAX };
	for (int i = 0; i < 5; i++)
		CHECK_EQ(rl_hashring_find(ring, positions[i]), 0);
	rl_hashring_free(ring);
	rl_hashring_free(NULL);
}

static uint32_t position_of(int64_t key)
{
	return (uint32_t)(rl_hash_int(key, 0) >> 32);
}

TEST(ten_to_eleven_moves_one_in_eleven_and_only_to_the_new)
{
	struct plan p;
	struct rl_hashring *ten = even_ring(10, UINT32_MAX, &p);
	struct rl_hashring *eleven = even_ring(11, UINT32_MAX, &p);
	int moved = 0, elsewhere = 0;
	for (int64_t k = 0; k < KEYS; k++) {
		uint32_t before = rl_hashring_find(ten, position_of(k));
		uint32_t now = rl_hashring_find(eleven, position_of(k));
		moved += before != now;
		elsewhere += before != now && now != 10;
	}
	CHECK_EQ(elsewhere, 0);
	CHECK(moved > KEYS * 0.081 && moved < KEYS * 0.101);
	rl_hashring_free(ten);
	rl_hashring_free(eleven);
}

TEST(a_removed_node_gives_away_its_own_alone)
{
	struct plan p, q;
	struct rl_hashring *all = even_ring(10, UINT32_MAX, &p), *rest = even_ring(10, 3, &q);
	int wrong = 0;
	for (int64_t k = 0; k < KEYS; k++) {
		uint64_t before = p.ids[rl_hashring_find(all, position_of(k))];
		uint64_t now = q.ids[rl_hashring_find(rest, position_of(k))];
		wrong += before != now && before != p.ids[3];
	}
	CHECK_EQ(wrong, 0);
	rl_hashring_free(all);
	rl_hashring_free(rest);
}

/* The theory says 1 / sqrt(128), 8.8 %, for one ring; a single one may be some points off. */
TEST(shares_of_the_circle_are_within_ten_percent)
{
	enum { RINGS = 100, NODES = 10 };
	struct plan p;
	double sum = 0;
	for (int ring = 0; ring < RINGS; ring++) {
		double size[NODES] = { 0 }, squares = 0;
		p.nodes = p.len = 0;
		for (int i = 0; i < NODES; i++)
			plan_add(&p, rl_hash_int(i, (uint64_t)ring), VNODES, UINT32_MAX);
		struct rl_hashring *r = plan_ring(&p);
		for (int64_t k = 0; k < KEYS / 10; k++)
			size[rl_hashring_find(r, position_of(k))] += (double)NODES * 10 / KEYS;
		for (int i = 0; i < NODES; i++)
			squares += (size[i] - 1) * (size[i] - 1);
		sum += squares / NODES;
		rl_hashring_free(r);
	}
	CHECK(sum / RINGS < 0.1 * 0.1);
	CHECK(sum / RINGS > 0.07 * 0.07);
}

/* Which owner the diff leaves a position with. *wrong counts a move from somebody else. */
static uint64_t owner_after(const struct rl_hashring_move *moves, uint32_t n, const struct plan *p,
	const struct plan *q, uint64_t before, uint32_t position, int *wrong)
{
	for (uint32_t i = 0; i < n; i++)
		if (moves[i].first <= position && position <= moves[i].last) {
			*wrong += p->ids[moves[i].from] != before;
			return q->ids[moves[i].to];
		}
	return before;
}

/* In order, apart, and not to be joined. */
static int misplaced(const struct rl_hashring_move *moves, uint32_t n)
{
	int wrong = 0;
	for (uint32_t i = 0; i < n; i++) {
		wrong += moves[i].first > moves[i].last;
		if (i > 0) {
			const struct rl_hashring_move *last = &moves[i - 1];
			bool same = last->from == moves[i].from && last->to == moves[i].to;
			wrong += last->last >= moves[i].first || (same && last->last + 1 == moves[i].first);
		}
	}
	return wrong;
}

/*
 * Owners change at points alone, and moves begin and end there, so looking on each point and beside
 * it is looking everywhere.
 */
static int check_diff(const struct plan *p, const struct plan *q)
{
	static struct rl_hashring_move moves[2 * POINTS_MAX + 1];
	struct rl_hashring *from = plan_ring(p), *to = plan_ring(q);
	uint32_t n = rl_hashring_diff(from, to, moves);
	int wrong = misplaced(moves, n) + (n > p->len + q->len + 1);
	for (uint32_t i = 0; i < p->len + q->len; i++)
		for (uint32_t d = 0; d < 3; d++) {
			uint32_t own = i < p->len ? p->points[i].position : q->points[i - p->len].position;
			uint32_t at = own + d - 1;
			uint64_t before = p->ids[rl_hashring_find(from, at)];
			uint64_t after = q->ids[rl_hashring_find(to, at)];
			wrong += owner_after(moves, n, p, q, before, at, &wrong) != after;
		}
	rl_hashring_free(from);
	rl_hashring_free(to);
	return wrong;
}

TEST(a_diff_is_what_recomputing_gives)
{
	enum { ROUNDS = 100000 };
	static struct plan p, q;
	struct rl_rand r;
	rl_rand_seed(&r, 2);
	int wrong = 0;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t mask = random_mask(&r);
		random_plan(&p, &r, mask);
		random_plan(&q, &r, mask);
		wrong += check_diff(&p, &q);
	}
	CHECK_EQ(wrong, 0);
}

TEST(a_diff_of_large_rings)
{
	static struct plan p, q;
	rl_hashring_free(even_ring(10, UINT32_MAX, &p));
	rl_hashring_free(even_ring(11, 4, &q));
	CHECK_EQ(check_diff(&p, &q), 0);
	CHECK_EQ(check_diff(&q, &p), 0);
}

TEST(equal_rings_have_no_diff)
{
	struct rl_hashring_move moves[4 * VNODES + 1];
	struct plan p;
	struct rl_hashring *a = even_ring(2, UINT32_MAX, &p), *b = even_ring(2, UINT32_MAX, &p);
	CHECK_EQ(rl_hashring_diff(a, b, moves), 0);
	rl_hashring_free(a);
	rl_hashring_free(b);
}

int main(void)
{
	RUN(owners_are_those_of_a_full_search);
	RUN(a_walk_visits_every_point_once);
	RUN(of_points_on_one_position_the_lowest_id_counts);
	RUN(one_point_owns_all);
	RUN(ten_to_eleven_moves_one_in_eleven_and_only_to_the_new);
	RUN(a_removed_node_gives_away_its_own_alone);
	RUN(shares_of_the_circle_are_within_ten_percent);
	RUN(a_diff_is_what_recomputing_gives);
	RUN(a_diff_of_large_rings);
	RUN(equal_rings_have_no_diff);
	return FINISH();
}
