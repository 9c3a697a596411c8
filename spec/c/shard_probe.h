/* SPDX-License-Identifier: MIT */
/* A shard on the sim backend whose tasks are C callbacks: what the tests of rt share. */
#ifndef RL_SPEC_SHARD_PROBE_H
#define RL_SPEC_SHARD_PROBE_H

#include "check.h"
#include "base/err.h"
#include "rt/wait.h"

#define PROBE_MAX 64

struct probe {
	struct rl_shard shard;
	/* What a task does when it is run: by id. Counts runs, logs ids. */
	enum rl_ran (*step)(struct probe *p, struct rl_task *t);
	unsigned log_len, idles;
	uint64_t log[PROBE_MAX];
	volatile sig_atomic_t brk;
};

static enum rl_ran probe_run(void *self, struct rl_task *t)
{
	struct probe *p = self;
	if (p->log_len < PROBE_MAX)
		p->log[p->log_len++] = t->id;
	t->state = RL_TASK_RUNNING;
	return p->step(p, t);
}

static bool probe_idle(void *self)
{
	struct probe *p = self;
	p->idles++;
	return false;
}

static void probe_preempt(void *self)
{
	(void)self;
}

static void probe_open(struct probe *p, enum rl_ran (*step)(struct probe *, struct rl_task *))
{
	struct rl_vm vm = {
		.run = probe_run, .idle = probe_idle, .preempt = probe_preempt, .self = p,
	};
	struct rl_os_config config = {.seed = 7};
	memset(p, 0, sizeof *p);
	p->step = step;
	CHECK_EQ(rl_shard_init(&p->shard, &vm), 0);
	CHECK_EQ(rl_shard_open(&p->shard, "sim", &config, NULL), 0);
}

static void probe_close(struct probe *p)
{
	CHECK_EQ(p->shard.live, 0);
	rl_shard_term(&p->shard);
}

#endif
