/* SPDX-License-Identifier: MIT */
/*
 * maglev: nodes take turns, and in its turn each takes the first free entry of its own permutation
 * of the table, offset + j * skip, until all are taken. As the size is prime, every skip visits
 * every entry.
 */
#include "base/maglev.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define FREE UINT16_MAX

_Static_assert(RL_MAGLEV_NODES_MAX <= FREE, "no node is taken for a free entry");

struct rl_maglev {
	uint32_t size;
	uint16_t table[];
};

struct turn {
	uint64_t id;
	uint32_t at, skip; /* its next candidate, and the step to the one after */
	uint16_t node;
};

bool rl_maglev_is_size(uint32_t size, uint32_t nodes)
{
	if (size < 2 || size < nodes || size > RL_MAGLEV_SIZE_MAX)
		return false;
	for (uint32_t n = 2; n * n <= size; n++)
		if (size % n == 0)
			return false;
	return true;
}

static int compare_turns(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

static struct turn *order_turns(const uint64_t *ids, uint32_t nodes, uint32_t size)
{
	struct turn *turns = malloc(nodes * sizeof *turns);
	if (!turns)
		return NULL;
	for (uint32_t i = 0; i < nodes; i++) {
		uint32_t offset = (uint32_t)(ids[i] >> 32) % size;
		uint32_t skip = (uint32_t)ids[i] % (size - 1) + 1;
		turns[i] = (struct turn){ ids[i], offset, skip, (uint16_t)i };
	}
	qsort(turns, nodes, sizeof *turns, compare_turns);
	return turns;
}

static uint32_t candidate(struct turn *t, uint32_t size)
{
	uint32_t at = t->at, next = at + t->skip;
	t->at = next >= size ? next - size : next;
	return at;
}

static void fill(struct rl_maglev *m, struct turn *turns, uint32_t nodes)
{
	for (uint32_t taken = 0, i = 0; taken < m->size; taken++) {
		uint32_t at = candidate(&turns[i], m->size);
		while (m->table[at] != FREE)
			at = candidate(&turns[i], m->size);
		m->table[at] = turns[i].node;
		i = i + 1 == nodes ? 0 : i + 1;
	}
}

struct rl_maglev *rl_maglev_new(const uint64_t *ids, uint32_t nodes, uint32_t size)
{
	RL_ASSERT(nodes > 0 && nodes <= RL_MAGLEV_NODES_MAX);
	RL_ASSERT(rl_maglev_is_size(size, nodes));
	struct rl_maglev *m = malloc(sizeof *m + size * sizeof *m->table);
	struct turn *turns = order_turns(ids, nodes, size);
	if (m && turns) {
		m->size = size;
		memset(m->table, 0xff, size * sizeof *m->table);
		fill(m, turns, nodes);
	} else {
		free(m);
		m = NULL;
	}
	free(turns);
	return m;
}

void rl_maglev_free(struct rl_maglev *m)
{
	free(m);
}

/* The entry is hash * size / 2^64, which spreads as evenly as a remainder and costs no division. */
uint32_t rl_maglev_find(const struct rl_maglev *m, uint64_t hash)
{
	return m->table[(uint32_t)((unsigned __int128)hash * m->size >> 64)];
}
