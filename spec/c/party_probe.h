/* SPDX-License-Identifier: MIT */
/*
 * A fleet whose tasks and messages are C: stepped by hand on the sim backend, or each shard on a
 * thread of its own on uring. What the tests of fleet, job and conduct share.
 */
#ifndef RL_SPEC_PARTY_PROBE_H
#define RL_SPEC_PARTY_PROBE_H

#include "check.h"
#include "torture.h"

#include "base/err.h"
#include "rt/job.h"
#include "rt/wait.h"

#include <stdlib.h>

enum { PARTY_MAX = 8, PARTY_WORK = 4096, PARTY_LOG = 64 };

struct party;

struct member {
	struct rl_shard shard;
	struct party *party;
	struct rl_rand rand;
	void *work[PARTY_WORK];   /* of the task in that slot */
	unsigned log_len;
	unsigned log[PARTY_LOG];  /* numbers of notes delivered */
	volatile sig_atomic_t brk;
};

struct party {
	struct rl_fleet *fleet;
	unsigned size;
	struct rl_vm vm;          /* `self` is the member */
	bool stays;               /* on threads: without stealing */
	void (*act)(struct member *m); /* on threads: what the first does before it closes all */
	pthread_barrier_t gate;
	struct member member[PARTY_MAX];
};

static inline enum rl_ran party_end_task(void *self, struct rl_task *t)
{
	(void)self;
	(void)t;
	return RL_RAN_ENDED;
}

static inline bool party_not_idle(void *self)
{
	(void)self;
	return false;
}

static inline void party_shard_open(struct party *p, unsigned index, const char *backend)
{
	struct member *m = &p->member[index];
	struct rl_vm vm = p->vm;
	struct rl_os_config config = {.seed = 7 + index, .entries = 8, .buf_count = 2, .buf_size = 64};
	vm.self = m;
	vm.run = vm.run ? vm.run : party_end_task;
	vm.idle = vm.idle ? vm.idle : party_not_idle;
	m->party = p;
	rl_rand_seed(&m->rand, 7 + index);
	CHECK_EQ(rl_shard_init(&m->shard, &vm), 0);
	CHECK_EQ(rl_shard_open(&m->shard, backend, &config, NULL), 0);
	rl_fleet_join(p->fleet, index, &m->shard);
}

/* Stepped by hand. The caller has filled in `vm`, or left it zero. */
static inline void party_open(struct party *p, unsigned size)
{
	p->size = size;
	p->fleet = rl_fleet_new(size);
	for (unsigned i = 0; i < size; i++)
		party_shard_open(p, i, "sim");
}

static inline void party_close(struct party *p)
{
	for (unsigned i = 0; i < p->size; i++)
		rl_fleet_leave(&p->member[i].shard);
	CHECK_EQ((uint32_t)atomic_load(&p->fleet->active), 0);
	CHECK_EQ(atomic_load(&p->fleet->sleepers), 0);
	rl_fleet_free(p->fleet);
	for (unsigned i = 0; i < p->size; i++) {
		CHECK_EQ(p->member[i].shard.live, 0);
		rl_shard_term(&p->member[i].shard);
	}
}

/* A message that tells a shard to leave its loop. */
static inline void party_leave(struct rl_shard *s, struct rl_msg *m)
{
	s->closing = true;
	free(m);
}

static inline void party_drop(struct rl_msg *m)
{
	free(m);
}

static inline void party_end_others(struct member *first)
{
	for (unsigned i = 1; i < first->party->size; i++) {
		struct rl_msg *m = malloc(sizeof *m);
		*m = (struct rl_msg){.deliver = party_leave, .drop = party_drop};
		rl_fleet_send(&first->shard, i, m);
	}
	while (rl_fleet_seat(&first->shard)->outbox_mask) {
		rl_fleet_turn(&first->shard);
		sched_yield();
	}
}

static inline void party_thread(void *arg, unsigned index)
{
	struct party *p = arg;
	struct member *m = &p->member[index];
	party_shard_open(p, index, "uring");
	pthread_barrier_wait(&p->gate);
	if (index == 0) {
		p->act(m);
		party_end_others(m);
	} else {
		CHECK_EQ(rl_shard_loop(&m->shard, &m->brk), RL_LOOP_DONE);
		CHECK(m->shard.closing);
	}
	rl_fleet_leave(&m->shard);
	pthread_barrier_wait(&p->gate);
	CHECK_EQ(m->shard.live, 0);
	rl_shard_term(&m->shard);
}

/* NULL, or why there is no uring. */
static inline const char *party_cannot(void)
{
	struct rl_os *os;
	const char *why = NULL;
	struct rl_os_config config = {0};
	if (rl_os_open(&os, "uring", &config, &why) < 0)
		return why;
	os->ops->close(os);
	return NULL;
}

/* On threads: act(first), while the others loop. Then all leave. */
static inline void party_run(struct party *p, unsigned size, void (*act)(struct member *m))
{
	p->size = size;
	p->act = act;
	p->fleet = rl_fleet_new(size);
	p->fleet->stealing = !p->stays;
	pthread_barrier_init(&p->gate, NULL, size);
	torture_run(size, party_thread, p);
	pthread_barrier_destroy(&p->gate);
	CHECK_EQ((uint32_t)atomic_load(&p->fleet->active), 0);
	CHECK_EQ(atomic_load(&p->fleet->sleepers), 0);
	rl_fleet_free(p->fleet);
}

/* A task and what it is to do. */
static inline struct rl_task *party_task(struct member *m, void *work)
{
	struct rl_task *t = rl_task_new(&m->shard, 0);
	RL_ASSERT(t && t->slot < PARTY_WORK);
	m->work[t->slot] = work;
	return t;
}

/* A message with a number, which the receiver logs. */
struct note {
	struct rl_msg msg;
	unsigned number;
};

static unsigned notes_alive;

static inline void note_drop(struct rl_msg *m)
{
	notes_alive--;
	free(m);
}

static inline void note_deliver(struct rl_shard *s, struct rl_msg *m)
{
	struct member *to = s->vm.self;
	if (to->log_len < PARTY_LOG)
		to->log[to->log_len++] = rl_container(m, struct note, msg)->number;
	note_drop(m);
}

static inline void note_send(struct party *p, unsigned from, unsigned to, unsigned number)
{
	struct note *n = malloc(sizeof *n);
	*n = (struct note){.msg = {.deliver = note_deliver, .drop = note_drop}, .number = number};
	notes_alive++;
	rl_fleet_send(&p->member[from].shard, to, &n->msg);
}

static inline enum rl_fleet_sleep party_sleep(struct party *p, unsigned index, bool quiet,
	bool open)
{
	return rl_fleet_sleep(&p->member[index].shard, quiet, open);
}

static inline unsigned party_turn(struct party *p, unsigned index)
{
	return rl_fleet_turn(&p->member[index].shard);
}

static inline unsigned party_state(struct party *p, unsigned index)
{
	return atomic_load(&p->fleet->seats[index].state);
}

#endif
