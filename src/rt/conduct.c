/* SPDX-License-Identifier: MIT */
/*
 * conduct: see conduct.h.
 *
 * Invariants: no shard's clock is ahead of the first one's but while it has its turn, and none runs
 * while another does. A shard that sleeps has its seat say so, as on threads of their own.
 */
#include "rt/conduct.h"

int64_t rl_conduct_next(const struct rl_shard *s)
{
	return rl_sooner(s->due_ns, s->os->ops->next(s->os));
}

/* Has it been woken, or is something due? */
static bool has_turn(const struct rl_seat *seat, int64_t now_ns)
{
	uint64_t state = RL_LOAD(&seat->state, relaxed);
	if (state == RL_SEAT_AWAKE || !rl_fleet_is_taken(seat))
		return state == RL_SEAT_AWAKE;
	int64_t next = rl_conduct_next(seat->shard);
	return next >= 0 && next <= now_ns;
}

unsigned rl_conduct_round(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	unsigned order[RL_SHARDS_MAX], n = 0;
	int64_t now_ns = rl_os_now(s->os);
	struct rl_rand rand;
	/* Of the moment, and not of how many rounds there were. */
	rl_rand_seed(&rand, f->seed ^ (uint64_t)now_ns);
	for (unsigned i = 1; i < f->size; i++)
		if (has_turn(&f->seats[i], now_ns))
			order[n++] = i;
	for (unsigned left = n; left > 0; left--) {
		unsigned pick = (unsigned)(rl_rand_next(&rand) % left);
		unsigned index = order[pick];
		order[pick] = order[left - 1];
		f->step(f->step_arg, index);
	}
	return n;
}

bool rl_conduct_advance(struct rl_shard *s)
{
	struct rl_fleet *f = s->fleet;
	int64_t next = -1;
	for (unsigned i = 0; i < f->size; i++)
		if (rl_fleet_is_taken(&f->seats[i]))
			next = rl_sooner(next, rl_conduct_next(f->seats[i].shard));
	if (next < 0)
		return false;
	for (unsigned i = 0; i < f->size; i++) {
		if (!rl_fleet_is_taken(&f->seats[i]))
			continue;
		struct rl_shard *other = f->seats[i].shard;
		other->os->ops->skip(other->os, next);
		rl_shard_now(other);
	}
	return true;
}
