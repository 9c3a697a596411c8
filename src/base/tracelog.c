/* SPDX-License-Identifier: MIT */
/* tracelog: see tracelog.h. */
#include "base/tracelog.h"

uint64_t rl_tracelog_head(const struct rl_tracelog *l)
{
	return RL_LOAD(l->head, acquire); /* pairs with rl_tracelog_put */
}

uint64_t rl_tracelog_oldest(const struct rl_tracelog *l)
{
	/* The place of record `head` may be half written: so one less than the ring holds. */
	uint64_t head = RL_LOAD(l->head, relaxed); /* ordered by the acquire of what was copied */
	return head > l->mask ? head - l->mask : 0;
}

void rl_tracelog_copy(const struct rl_tracelog *l, uint64_t from, uint64_t n, uint64_t *out)
{
	for (uint64_t i = from; i < from + n; i++) {
		RL_ATOMIC(uint64_t) *at = &l->words[2 * (i & l->mask)];
		*out++ = RL_LOAD(&at[0], acquire); /* pair with rl_tracelog_put */
		*out++ = RL_LOAD(&at[1], acquire);
	}
}
