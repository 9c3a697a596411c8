/* SPDX-License-Identifier: MIT */
/*
 * spread: what the shards of one server know of each other: how busy each is, and the way by which
 * the one that accepts for all hands a connection over.
 *
 * A connection handed over is a descriptor in a message: it has one owner at any time, the sender,
 * the message, or the inlet of the receiver; a message that nobody can take closes it.
 */
#ifndef RL_RT_SPREAD_H
#define RL_RT_SPREAD_H

#include "rt/fleet.h"
#include "rt/value.h"

struct rl_listener;

struct rl_spread_seat {
	/* Connections handed to this shard that have not ended: the giver adds, the shard takes. */
	_Alignas(64) _Atomic uint32_t load;
	bool open;                     /* the giver's: it may be given more */
	/* Written by the shard, read by anybody. */
	_Alignas(64) _Atomic uint64_t accepted, errors, shortages, refused, evicted, late;
	_Atomic uint32_t live, waiting;
	struct rl_listener *inlet;     /* the shard's alone; NULL: what comes is closed */
};

struct rl_spread {
	struct rl_shared shared;
	unsigned size, limit;          /* seats; the most connections of one */
	unsigned last;                 /* the giver's: who was given one last */
	bool fewest;                   /* to the shard with the fewest, not in turn */
	_Atomic bool crowded;          /* the giver waits for room */
	struct rl_spread_seat seats[];
};

extern const struct rl_shared_class rl_spread_class;

/* A seat for each shard of a fleet, all closed; with one reference. NULL without memory. */
struct rl_spread *rl_spread_new(unsigned size, unsigned limit, bool fewest);

/* By the giver: the shard the next connection is for; -1: those that are open are full, and
 * rl_spread_ended will say when one is not any more. Shards that are stalled are passed over,
 * unless all are. */
int rl_spread_pick(struct rl_spread *sp, const struct rl_shard *s);
/* Give a connected descriptor away. 0; without memory it is closed. */
int rl_spread_give(struct rl_spread *sp, struct rl_shard *s, unsigned to, int fd);

/* By the shard of a seat: a connection that it was given has ended. True when the giver is to be
 * told. */
bool rl_spread_ended(struct rl_spread *sp, unsigned index);
/* What the shard of a seat counts itself. */
struct rl_spread_counts {
	unsigned live;
	uint64_t errors, refused, evicted, late;
};

/* By the shard of a seat: what its counters are now. */
void rl_spread_note(struct rl_spread_seat *seat, const struct rl_listener *l,
	const struct rl_spread_counts *counts);

#endif
