/* SPDX-License-Identifier: MIT */
/*
 * lmet: a map from addresses to numbers, for one traversal of a graph: what was met already. To
 * begin anew costs nothing: what was put in before is older than the round.
 */
#ifndef RL_LUA_LMET_H
#define RL_LUA_LMET_H

#include <stdbool.h>
#include <stdint.h>

struct rl_met_slot;

struct rl_met {
	struct rl_met_slot *slots;
	uint32_t len, size, round;
};

/* All zero is an empty map. */
void rl_met_term(struct rl_met *m);
void rl_met_begin(struct rl_met *m);

/* Where the number of `key` is; when `*is_new`, it is to be set. Good until the next call. NULL
 * when there is no memory. */
uint64_t *rl_met_at(struct rl_met *m, const void *key, bool *is_new);

#endif
