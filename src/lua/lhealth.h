/* SPDX-License-Identifier: MIT */
/* lhealth: shards that make no progress, and shards that get no core: who is told, and who may ask.
 * Private to src/lua. */
#ifndef RL_LUA_LHEALTH_H
#define RL_LUA_LHEALTH_H

#include "lua/lshard.h"
#include "rt/fleet.h"

#include <pthread.h>

/* What is known of a shard's last stall. Written by the watchdog. */
struct rl_stall {
	_Atomic int64_t since_ns, over_ns;
	_Atomic int64_t waited_ns;     /* of it, for a core */
	_Atomic bool hungry;           /* when it was told of, that was most of it */
	_Atomic uint64_t task, count;
};

/* What is known of how a shard was starved. Written by the watchdog. */
struct rl_starvation {
	_Atomic int64_t since_ns;      /* it is now; 0: it is not */
	_Atomic int64_t last_ns;       /* how long the last one was that is over */
	_Atomic int64_t total_ns;      /* all that are over */
	_Atomic uint64_t count;
};

/* One for a run; embedded in what its threads share. */
struct rl_health {
	struct rl_fleet *fleet;
	/* While it is held and `abandoned` is not set, a shard with a seat has a seam. */
	pthread_mutex_t *lock;
	const bool *abandoned;
	_Atomic uint64_t begun, over; /* a bit for each shard: stalls that nobody was told of yet */
	_Atomic uint64_t starves, starved; /* likewise */
	struct rl_stall stalls[RL_SHARDS_MAX];
	struct rl_starvation starvations[RL_SHARDS_MAX];
};

/* What a watchdog calls, with a struct rl_health. */
void rl_health_stalled(void *health, struct rl_shard *s, int64_t since_ns, int64_t waited_ns,
	bool over);
void rl_health_starved(void *health, struct rl_shard *s, int64_t ns, bool over);

/* The shard was nudged: tell of both. */
void rl_health_nudged(struct rl_lua *h, struct rl_health *g);

/* A run of a task has ended that stalled the shard: note where it is. */
void rl_health_note(struct rl_lua *h, struct rl_task *t);

/* How often a shard stalled in this run. */
uint64_t rl_health_count(const struct rl_health *g, unsigned index);
/* Since when it is stalled now, 0: it is not. On a thread of the fleet, which has not left it. */
int64_t rl_health_since(const struct rl_health *g, unsigned index);
/* How often a shard was starved in this run, and how long in all, until now. */
uint64_t rl_health_starvations(const struct rl_health *g, unsigned index, int64_t *total_ns);

#endif
