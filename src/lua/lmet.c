/* SPDX-License-Identifier: MIT */
/* lmet: see lmet.h. Open addressing; never more than half full. */
#include "lua/lmet.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

struct rl_met_slot {
	const void *key;
	uint64_t number;
	uint32_t round;      /* in which it was put here: those of others are free */
};

void rl_met_term(struct rl_met *m)
{
	free(m->slots);
	*m = (struct rl_met){0};
}

void rl_met_begin(struct rl_met *m)
{
	m->len = 0;
	m->round++;
	if (m->round == 0 && m->slots) {
		memset(m->slots, 0, m->size * sizeof *m->slots);
		m->round = 1;
	}
}

/* The slot of the key, or the one it belongs in. */
static struct rl_met_slot *find(const struct rl_met *m, const void *key)
{
	uint64_t hash = ((uintptr_t)key >> 3) * 0x9e3779b97f4a7c15u;
	uint32_t i = (uint32_t)(hash >> 32) & (m->size - 1);
	while (m->slots[i].round == m->round && m->slots[i].key != key)
		i = (i + 1) & (m->size - 1);
	return &m->slots[i];
}

static bool grow(struct rl_met *m)
{
	struct rl_met old = *m;
	struct rl_met_slot *slots = calloc(old.size ? 2 * old.size : SLOTS_MIN, sizeof *slots);
	if (!slots)
		return false;
	m->slots = slots;
	m->size = old.size ? 2 * old.size : SLOTS_MIN;
	for (uint32_t i = 0; i < old.size; i++)
		if (old.slots[i].round == m->round)
			*find(m, old.slots[i].key) = old.slots[i];
	free(old.slots);
	return true;
}

uint64_t *rl_met_at(struct rl_met *m, const void *key, bool *is_new)
{
	if (2 * (m->len + 1) > m->size && !grow(m))
		return NULL;
	struct rl_met_slot *s = find(m, key);
	*is_new = s->round != m->round;
	if (*is_new) {
		s->key = key;
		s->round = m->round;
		m->len++;
	}
	return &s->number;
}
