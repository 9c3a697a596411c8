/* SPDX-License-Identifier: MIT */
/*
 * beacon: see beacon.h.
 */
#define _GNU_SOURCE
#include "rt/beacon.h"

#include "rt/net.h"
#include "rt/shard.h"

#include <string.h>
#include <unistd.h>

/* Stores that the compiler neither merges nor tears. */
#define SHOW(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

void rl_beacon_use(struct rl_shard *s, struct rl_beacon *b)
{
	if (s->beacon)
		memset(s->beacon, 0, sizeof *s->beacon);
	s->beacon = b;
	if (!b)
		return;
	SHOW(b->tid, (uint32_t)gettid());
	SHOW(b->idle, 0);
	SHOW(b->run_since_ns, 0);
	rl_beacon_turn(s);
}

void rl_beacon_run(struct rl_shard *s, const struct rl_task *t)
{
	uint64_t now_ns = (uint64_t)rl_shard_now(s);
	SHOW(s->beacon->task, t->id);
	SHOW(s->beacon->run_since_ns, now_ns);
	SHOW(s->beacon->beat_ns, now_ns);
}

void rl_beacon_turn(struct rl_shard *s)
{
	struct rl_beacon *b = s->beacon;
	SHOW(b->run_since_ns, 0);
	SHOW(b->idle, 0);
	SHOW(b->beat_ns, (uint64_t)s->now_ns);
	SHOW(b->runnable, rl_shard_runnable(s));
	SHOW(b->live, s->live);
	SHOW(b->conns, s->net ? *s->net->handles : 0);
}

void rl_beacon_sleep(struct rl_shard *s)
{
	SHOW(s->beacon->run_since_ns, 0);
	SHOW(s->beacon->runnable, 0);
	SHOW(s->beacon->idle, 1);
}
