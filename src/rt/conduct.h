/* SPDX-License-Identifier: MIT */
/*
 * conduct: the shards of a simulated run, one after the other on one thread, under one clock. The
 * first shard conducts: between its own turns each of the others that has something to do has one,
 * in seeded order, and when all sleep the clocks go to what is due next anywhere.
 */
#ifndef RL_RT_CONDUCT_H
#define RL_RT_CONDUCT_H

#include "rt/fleet.h"

/* Give a turn to every other shard that has something to do; returns how many had. */
unsigned rl_conduct_round(struct rl_shard *s);

/* All sleep: set the clocks to what is due next. False: nothing is, in any shard. */
bool rl_conduct_advance(struct rl_shard *s);

/* Is there anything that time alone brings to this shard? */
int64_t rl_conduct_next(const struct rl_shard *s);

#endif
