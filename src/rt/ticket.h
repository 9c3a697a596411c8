/* SPDX-License-Identifier: MIT */
/*
 * ticket: waits that another shard may end.
 *
 * A task that waits for shared objects has a ticket, and a waiter on the list of each object. Any
 * thread may end the wait: under the object's lock it takes a waiter off the list and claims it;
 * unlocked, it fires it, which brings the waiter home as a message. The shard of the task claims
 * the ticket itself before it ends the wait otherwise (a deadline, a cancel, a clause). A ticket is
 * claimed once, so exactly one of them ends the wait; whoever comes too late forgets it.
 *
 *     task:   k = rl_ticket_open; w = rl_waiter_add ...
 *             lock; can it go on? else link w->link into the object; unlock
 *             rl_wait_park_shared, or rl_ticket_close if it can go on
 *     waker:  lock; unlink w->link; rl_waiter_claim(w): fill in w->value, w->code; unlock
 *             rl_waiter_fire(w)
 *
 * Invariants: a waiter on an object's list has an open ticket, or one that was claimed a moment ago
 * and that leaves the list soon. A claim is never given back: until the waiter is home, the task's
 * own shard lets deadlines and cancels pass. So who needs two claims to go on must not need the
 * second once it has the first.
 */
#ifndef RL_RT_TICKET_H
#define RL_RT_TICKET_H

#include "rt/fleet.h"
#include "rt/value.h"

#define RL_WAITER_TEXT 64

struct rl_ticket {
	struct rl_deadline due;      /* the task, and its timer if the wait has a deadline */
	_Atomic uint64_t word;       /* stamp << 1 | claimed; 0: no wait */
	struct rl_list waiters;      /* by their `sibling` */
};

struct rl_waiter {
	struct rl_msg msg;           /* brings it home */
	struct rl_list link;         /* in the object's list, under the object's lock */
	struct rl_list sibling;      /* in the ticket; its own shard's, like the next four */
	struct rl_shard *home;
	struct rl_ticket *ticket;
	uint64_t stamp;
	struct rl_shared *object;    /* a reference */
	/* Take it off the object's list, under the object's lock, if it is there. */
	void (*leave)(struct rl_waiter *w);
	struct rl_value value;       /* what it offers; when it was claimed, what it is given */
	char text[RL_WAITER_TEXT];   /* for an object whose values may have more bytes than fit one */
	uint16_t index;              /* which case of a select; 0: a plain wait */
	int16_t code;                /* 0, or a negative code the wait ends with */
	bool won;                    /* claimed as this one; under the object's lock */
};

static inline struct rl_ticket *rl_ticket_at(struct rl_deadline *d)
{
	return rl_container(d, struct rl_ticket, due);
}

/* A ticket for the running task, which either parks on it or closes it. One that neither was done
 * with (an error was raised in between) is closed by the next open. NULL when there is no
 * memory. */
struct rl_ticket *rl_ticket_open(struct rl_shard *s, struct rl_task *t);

/* The wait is over, or never began: its waiters leave and are freed. */
void rl_ticket_close(struct rl_shard *s, struct rl_ticket *k);

/* On the ticket's shard: true for whoever ends the wait. */
bool rl_ticket_claim(struct rl_ticket *k);

/* By wait.c, when the task has parked. */
void rl_ticket_parked(struct rl_shard *s, struct rl_ticket *k);

/* A further waiter of the ticket, with a reference of its own to the object; the caller links it.
 * NULL when there is no memory. */
struct rl_waiter *rl_waiter_add(struct rl_shard *s, struct rl_ticket *k, struct rl_shared *object,
	unsigned index, void (*leave)(struct rl_waiter *w));

/* Any thread, under the object's lock: the waiter has just been taken off the list. True: fill it
 * in and fire it after unlocking. False: forget it. */
bool rl_waiter_claim(struct rl_waiter *w);

/* Bring a claimed waiter home, from the shard whose thread this is; no object is locked. To a task
 * of this shard it comes at once, by the floor above: so never while the running task has linked
 * waiters and not yielded yet. Then post it: it comes with the next turn. */
void rl_waiter_fire(struct rl_shard *from, struct rl_waiter *w);
void rl_waiter_post(struct rl_shard *from, struct rl_waiter *w);

/* The same for waiters that were collected, by their `link`, under a lock. */
void rl_waiter_fire_all(struct rl_shard *from, struct rl_list *claimed);
void rl_waiter_post_all(struct rl_shard *from, struct rl_list *claimed);

/* On its shard, of a waiter that has come home: keep it until it is freed, at the latest with the
 * shard; and free it. Drops what is left of its value. */
void rl_waiter_keep(struct rl_shard *s, struct rl_waiter *w);
void rl_waiter_free(struct rl_shard *s, struct rl_waiter *w);

/* By rl_shard_close. */
void rl_tickets_free(struct rl_shard *s);

#endif
