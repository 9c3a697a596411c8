/* SPDX-License-Identifier: MIT */
/*
 * fleet: the shards of one run: messages between them, how one sleeps and who wakes it, and when
 * all of them are done.
 *
 * A message is memory that changes its owner: whoever sends it gives it away, `deliver` on the
 * receiver's thread takes it, `drop` takes it when the receiver is gone. Those between two shards
 * arrive in the order in which they were sent. Every shard has a seat, known by its index; a seat
 * is written by its own shard but for the fields that say otherwise.
 */
#ifndef RL_RT_FLEET_H
#define RL_RT_FLEET_H

#include "base/atomic.h"
#include "base/deque.h"
#include "base/rand.h"
#include "base/spsc.h"
#include "rt/shard.h"

#include <pthread.h>

/* A bit for each in one word. */
#ifndef RL_SHARDS_MAX
#define RL_SHARDS_MAX 64
#endif
/* Messages from one shard to another that it has not taken; more wait with the sender. */
#ifndef RL_RING_SIZE
#ifdef RL_TINY
#define RL_RING_SIZE 4
#else
#define RL_RING_SIZE 1024
#endif
#endif

_Static_assert(RL_SHARDS_MAX <= 64, "a mask of shards is one word");

struct rl_msg {
	struct rl_list link;                                     /* while it waits with the sender */
	void (*deliver)(struct rl_shard *s, struct rl_msg *m);   /* in the loop; resumes no task */
	void (*drop)(struct rl_msg *m);
};

/* How a shard's thread is, as others see it. Only the shard itself goes from AWAKE to another;
 * whoever wakes it goes back to AWAKE, by a compare-and-swap, and rings. */
enum rl_seat_state {
	RL_SEAT_AWAKE,
	RL_SEAT_ASLEEP,   /* in the kernel, or about to be: ring when there is something to do */
	RL_SEAT_QUIET,    /* likewise, and only a message can make it go on: not counted as active */
	RL_SEAT_EMPTY,    /* of nobody yet: messages wait for who comes */
	RL_SEAT_GONE,     /* takes no messages any more */
};

struct rl_seat {
	_Alignas(64) RL_ATOMIC(uint64_t) state;        /* enum rl_seat_state */
	RL_ATOMIC(uint64_t) inbox;                     /* a bit for each sender; set by it */
	struct rl_spsc *_Atomic from[RL_SHARDS_MAX];   /* rings, made by their sender when needed */
	_Alignas(64) struct rl_deque jobs;             /* see job.h */
	_Alignas(64) struct rl_shard *shard;           /* whoever wakes it reads this */
	struct rl_measure *measure;                    /* its shard's; kept beyond it */
	uint64_t outbox_mask;
	struct rl_list spilt;                          /* job.c: no room in `jobs`, and no stealing */
	unsigned takes;                                /* job.c: how often it looked for a job */
	struct rl_rand rand;                           /* whom it steals from */
	int64_t asleep_ns;                             /* how long its sleeps last, of late */
	int64_t job_ns, clock_ns;                      /* what one waits for another; when reckoned */
	uint64_t pushed, clock_gone;                   /* into `jobs`; of them, gone by then */
	_Atomic uint32_t pending;                      /* tasks but daemons, and holds; when it slept */
	_Atomic uint32_t live;                         /* all tasks */
	RL_ATOMIC(bool) open;                          /* timers or operations that may go on */
	_Atomic uint64_t sent, rings, steals, tries, started; /* counters, read by anybody */
	struct rl_list outbox[RL_SHARDS_MAX];          /* what found its ring full */
};

struct rl_fleet {
	unsigned size;
	bool stealing;
	unsigned cpus;                 /* that all of it may use; 0: never spin */
	bool watched;                  /* by a watchdog, which relieves who runs one task for long */
	void (*step)(void *arg, unsigned index); /* simulated: give that shard a turn; else NULL */
	void *step_arg;
	uint64_t seed;                 /* simulated: of the order of turns */
	_Atomic int notes_fd;          /* as of a shard that is alone; any thread sets it */
	/* What all read in every turn, above, is apart from what all write. */
	/* Low half: seats AWAKE or ASLEEP, for a moment more; high: how often one was added. */
	_Alignas(64) RL_ATOMIC(uint64_t) active;
	RL_ATOMIC(uint64_t) sleepers;  /* seats that are ASLEEP or QUIET; late by a moment */
	_Alignas(64) pthread_mutex_t lock; /* of the injection queue */
	struct rl_list injected;
	_Atomic uint32_t injected_len;
	struct rl_seat seats[];
};

/* A fleet of `size` seats, all EMPTY. NULL when there is no memory. */
struct rl_fleet *rl_fleet_new(unsigned size);
/* NULL is fine. Every shard has left. Drops what is still in the rings and queues. */
void rl_fleet_free(struct rl_fleet *f);

/* Take a seat, on the shard's own thread, while its seam is open; and give it up: messages to it
 * are dropped from then on (those that crossed with this, with the fleet), and what it has sent
 * that found no room. */
void rl_fleet_join(struct rl_fleet *f, unsigned index, struct rl_shard *s);
void rl_fleet_leave(struct rl_shard *s);

/* Send from the shard whose thread this is. Never fails: what finds no room waits here. */
void rl_fleet_send(struct rl_shard *s, unsigned to, struct rl_msg *m);

/* Wake one shard that sleeps, if any does, to look for jobs. */
void rl_fleet_wake_one(struct rl_shard *s);

/* The same by the watchdog, for a shard that has been running one task for a while: another may
 * take its jobs. It has not left. */
void rl_fleet_relieve(struct rl_shard *s);

/* By the loop. At each turn: deliver what has arrived; returns how many. */
unsigned rl_fleet_turn(struct rl_shard *s);

/* Before that: look for a moment whether something comes, if that is likely, and a core is free.
 * True when something has come. */
bool rl_fleet_spin(struct rl_shard *s);
/* After sleeping since `from_ns`. */
void rl_fleet_slept(struct rl_shard *s, int64_t from_ns);

/* Before sleeping. `quiet`: its tasks are done, or only a message can make one go on; `open`: there
 * are timers or operations that may end (of daemons, if it is quiet). */
enum rl_fleet_sleep {
	RL_FLEET_BUSY,    /* there is something to do, after all */
	RL_FLEET_CROWDED, /* messages wait here for room elsewhere: sleep for a moment only */
	RL_FLEET_SLEEP,   /* sleep, then call rl_fleet_awake */
	RL_FLEET_OVER,    /* the first seat's alone: no task but daemons lives, nothing is on its way */
	RL_FLEET_STUCK,   /* likewise: tasks live, and nothing will ever make one go on */
};
enum rl_fleet_sleep rl_fleet_sleep(struct rl_shard *s, bool quiet, bool open);
void rl_fleet_awake(struct rl_shard *s);

/* While all are quiet: tasks but daemons that live, and holds; all tasks that live. */
unsigned rl_fleet_pending(const struct rl_fleet *f);
unsigned rl_fleet_live(const struct rl_fleet *f);

static inline struct rl_seat *rl_fleet_seat(const struct rl_shard *s)
{
	return &s->fleet->seats[s->index];
}

/* Has a shard come, and not left? */
static inline bool rl_fleet_is_taken(const struct rl_seat *seat)
{
	return RL_LOAD(&seat->state, relaxed) < RL_SEAT_EMPTY;
}

/* Counters have one writer: no locked instruction is needed. */
static inline void rl_fleet_count(_Atomic uint64_t *counter)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

/* Must the loop look at the fleet at this turn? */
static inline bool rl_fleet_has_mail(const struct rl_shard *s)
{
	struct rl_seat *seat = rl_fleet_seat(s);
	return RL_LOAD(&seat->inbox, relaxed) || seat->outbox_mask;
}

#endif
