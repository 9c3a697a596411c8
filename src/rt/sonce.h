/* SPDX-License-Identifier: MIT */
/*
 * sonce: something that is done once by whoever comes first on any shard; everybody gets its
 * result. When it is given up half way, the next one does it.
 */
#ifndef RL_RT_SONCE_H
#define RL_RT_SONCE_H

#include "rt/squeue.h"

struct rl_sonce;

extern const struct rl_shared_class rl_sonce_class;

/* With one reference; NULL when there is no memory. Its first member is its rl_shared. */
struct rl_sonce *rl_sonce_new(void);

enum rl_sonce_turn {
	RL_SONCE_PARKED, /* another does it: begin again when woken */
	RL_SONCE_YOURS,  /* the caller is to do it, then finish or give up */
	RL_SONCE_DONE,
};
/* Or -ETIMEDOUT, -ENOMEM. */
int rl_sonce_begin(struct rl_shard *s, struct rl_task *t, struct rl_sonce *o, int64_t deadline_ns);

/* By whose turn it is. Takes the result. */
void rl_sonce_finish(struct rl_shard *s, struct rl_sonce *o, struct rl_parcel *result);
void rl_sonce_give_up(struct rl_shard *s, struct rl_sonce *o);

/* Of one that is done; it lives as long as the object. */
const struct rl_parcel *rl_sonce_result(struct rl_sonce *o);
bool rl_sonce_is_done(struct rl_sonce *o);

#endif
