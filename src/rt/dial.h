/* SPDX-License-Identifier: MIT */
/*
 * dial: connecting to the first of several addresses that answers (RFC 8305, "Happy Eyeballs"): one
 * attempt follows another after RL_DIAL_STAGGER_NS or as soon as one fails, the first success wins,
 * the others are cancelled. Owned and freed as streams are; whatever happens, no descriptor stays.
 */
#ifndef RL_RT_DIAL_H
#define RL_RT_DIAL_H

#include "rt/addr.h"
#include "rt/net.h"
#include "rt/wait.h"

#define RL_DIAL_STAGGER_NS 250000000LL /* RFC 8305, 5 */
#define RL_DIAL_ADDRS_MAX 16

struct rl_dial;

struct rl_attempt {
	struct rl_op op;
	struct rl_dial *dial;
	struct rl_addr addr;
};

struct rl_dial {
	struct rl_net_item item;
	struct rl_net *net;
	struct rl_dial **handle;
	struct rl_waitq waiters;
	struct rl_alarm stagger;
	unsigned n, next, running;
	unsigned label;            /* of the task that began it */
	uint64_t task;             /* that task; 0: none */
	int fd;                    /* the winner, -1 none */
	int err;                   /* the first failure */
	bool over;
	struct rl_attempt attempts[];
};

/* Begin; 0 or -ENOMEM. Failures to connect come from rl_dial_take. */
int rl_dial_open(struct rl_net *net, const struct rl_addr *addrs, unsigned n,
	struct rl_dial **handle);
/* The connected descriptor, which is the caller's then; -EAGAIN: park on d->waiters; or the error.
 * */
int rl_dial_take(struct rl_dial *d);
/* Give up. */
void rl_dial_disown(struct rl_dial *d);

#endif
