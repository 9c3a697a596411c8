/* SPDX-License-Identifier: MIT */
/*
 * svalues: a queue of values with two ends, which owns what is in it. Whoever shares one holds a
 * lock around each call.
 */
#ifndef RL_RT_SVALUES_H
#define RL_RT_SVALUES_H

#include "rt/value.h"

#include <stdbool.h>

#ifndef RL_SVALUES_MAX
#ifdef RL_TINY
#define RL_SVALUES_MAX 64
#else
#define RL_SVALUES_MAX (1u << 24)
#endif
#endif

struct rl_svalues {
	struct rl_value *ring; /* `room` slots, a power of two, the first value at `head` */
	uint32_t head, len, room;
};

/* A zeroed one is empty. Drops what is in it. */
void rl_svalues_term(struct rl_svalues *q);

/* Add at the front or at the end; takes the value. -ENOMEM, or -ENOSPC beyond RL_SVALUES_MAX. */
int rl_svalues_push(struct rl_svalues *q, struct rl_value *v, bool front);

/* Take from the front or from the end: false when it is empty. */
bool rl_svalues_pop(struct rl_svalues *q, struct rl_value *out, bool front);

#endif
