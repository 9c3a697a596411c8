/* SPDX-License-Identifier: MIT */
/* svalues: see svalues.h. Slots outside of head .. head + len have no value. */
#include "rt/svalues.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4

static struct rl_value *slot(const struct rl_svalues *q, uint32_t i)
{
	return &q->ring[(q->head + i) & (q->room - 1)];
}

static int grow(struct rl_svalues *q)
{
	uint32_t room = q->room > 0 ? 2 * q->room : ROOM_MIN;
	if (q->len >= RL_SVALUES_MAX)
		return -ENOSPC;
	struct rl_value *ring = malloc(room * sizeof *ring);
	if (!ring)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->len; i++)
		ring[i] = *slot(q, i);
	free(q->ring);
	q->ring = ring;
	q->head = 0;
	q->room = room;
	return 0;
}

void rl_svalues_term(struct rl_svalues *q)
{
	for (uint32_t i = 0; i < q->len; i++)
		rl_value_drop(slot(q, i));
	free(q->ring);
	memset(q, 0, sizeof *q);
}

int rl_svalues_push(struct rl_svalues *q, struct rl_value *v, bool front)
{
	int err = q->len == q->room ? grow(q) : 0;
	if (err < 0)
		return err;
	if (front)
		q->head--;
	*slot(q, front ? 0 : q->len) = *v;
	q->len++;
	memset(v, 0, sizeof *v);
	return 0;
}

bool rl_svalues_pop(struct rl_svalues *q, struct rl_value *out, bool front)
{
	if (q->len == 0)
		return false;
	*out = *slot(q, front ? 0 : q->len - 1);
	if (front)
		q->head++;
	q->len--;
	return true;
}
