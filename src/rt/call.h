/* SPDX-License-Identifier: MIT */
/*
 * call: one call on a helper thread of an offload pool, as the shard that submits it sees it. All
 * functions are for that shard's thread.
 */
#ifndef RL_RT_CALL_H
#define RL_RT_CALL_H

#include "rt/fleet.h"
#include "rt/offload.h"
#include "rt/task.h"

struct helper;
struct rl_port;

/* Where a shard's calls come home to. */
struct rl_port *rl_port_new(struct rl_shard *s);
/* The seam is about to close: calls that wait are withdrawn, those that run are forgotten. NULL is
 * fine. */
void rl_port_close(struct rl_port *port);

struct rl_call {
	/* The owner's. */
	void (*admitted)(struct rl_call *c); /* in the loop: there was room, after all; may be NULL */
	void (*home)(struct rl_call *c);     /* in the loop: it has ended */
	void *owner;
	uint32_t number;                     /* the owner's to use, as are the queues */
	struct rl_waitq room_waiters, waiters;
	bool is_admitted, is_home;           /* no more in line; its results are there */
	/* Of whoever runs it, until it is home. */
	struct rl_parcel *args;
	bool ok;                             /* it did not fail */
	bool simulated;
	int err;                             /* it did not run: -RL_ECLOSED, ... */
	unsigned results;                    /* 0, 1: `result`; 2: a parcel of any number */
	struct rl_value result;
	char *why;                           /* instead of results: an error as text, from malloc */
	_Atomic bool cancelled;              /* nobody wants it any more */
	/* call.c's and offload.c's. */
	_Atomic uint32_t refs;
	uint8_t state;
	bool counts;                         /* in `works` of its shard's seam */
	bool is_sent;                        /* the message is on its way */
	bool room_sent, work_sent;           /* so are these; written by the sender, then the owner */
	struct helper *helper;               /* that runs it */
	struct rl_offload *pool;             /* with a reference, until it is home */
	struct rl_port *port;
	struct rl_list link, own, told;
	struct rl_work room, work;
	struct rl_msg msg;
};

/* A call with one reference, which takes the parcel over. NULL when there is no memory. */
struct rl_call *rl_call_new(struct rl_port *port, struct rl_parcel *args);
void rl_call_put(struct rl_call *c); /* NULL is fine */

/* 0: it waits for a thread; 1: it waits for room (if it may: `lines`). Negative, and nothing has
 * happened: -EAGAIN the queue is full, -RL_ECLOSED, no thread can be had. */
int rl_call_submit(struct rl_call *c, struct rl_offload *p, bool lines);

/* Nobody wants it. True: it had not begun, and never will. False: it runs or has ended, and still
 * comes home; `signal`, while a watch is open: tell its thread, see rl_watch_lend. */
bool rl_call_cancel(struct rl_call *c, bool signal);

#endif
