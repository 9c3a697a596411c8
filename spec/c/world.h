/* SPDX-License-Identifier: MIT */
/*
 * world: a shard without tasks, on the backend asked for, whose kernel seam is turned by hand.
 * What a task would wait for is looked at after each step instead.
 */
#ifndef RL_SPEC_WORLD_H
#define RL_SPEC_WORLD_H

#include "check.h"

#include "base/err.h"
#include "base/slab.h"
#include "rt/dial.h"
#include "rt/listener.h"
#include "rt/net.h"
#include "rt/out.h"
#include "rt/stream.h"

struct world {
	struct rl_shard shard;
	struct rl_net *net;
	unsigned handles;
};

static inline enum rl_ran world_no_task(void *vm, struct rl_task *t)
{
	(void)vm;
	(void)t;
	return RL_RAN_ENDED;
}

static inline bool world_not_idle(void *vm)
{
	(void)vm;
	return false;
}

/* False when the backend cannot be used here. */
static inline bool world_open(struct world *w, const char *backend, uint64_t seed,
	const char *faults)
{
	static const struct rl_vm vm = {.run = world_no_task, .idle = world_not_idle};
	struct rl_os_config config = {.seed = seed, .faults = faults};
	memset(w, 0, sizeof *w);
	if (rl_shard_init(&w->shard, &vm) < 0)
		return false;
	if (rl_shard_open(&w->shard, backend, &config, NULL) < 0) {
		rl_shard_term(&w->shard);
		return false;
	}
	w->net = rl_net_get(&w->shard, &w->handles);
	return w->net != NULL;
}

/* Let at most `ms` pass, and everything happen that then can. */
static inline void world_step(struct world *w, int ms)
{
	int64_t now = rl_shard_now(&w->shard);
	w->shard.waited = true;
	rl_os_poll(w->shard.os, now + ms * 1000000LL);
	rl_shard_now(&w->shard);
	rl_shard_turn(&w->shard);
}

/* Milliseconds: once something is wrong, what else does not happen is not waited for long. */
#define WORLD_PATIENCE (check_bad ? 200 : 20000)

#define WORLD_UNTIL(w, fact) \
	do { \
		for (int steps_ = 0; steps_ < WORLD_PATIENCE && !(fact); steps_++) \
			world_step((w), 1); \
		CHECK(fact); \
	} while (0)

static inline void world_settle(struct world *w)
{
	WORLD_UNTIL(w, w->handles == 0 && w->net->streams->live == 0);
	WORLD_UNTIL(w, w->shard.os->in_flight == 0 && rl_list_empty(&w->net->items));
	CHECK_EQ(w->net->chunks.lent, 0);
	CHECK_EQ(w->shard.holds, 0);
}

static inline void world_close(struct world *w)
{
	rl_net_shutdown(&w->shard);
	CHECK_EQ(w->handles, 0);
	int err = w->shard.os->ops->close(w->shard.os);
	CHECK_EQ(err, 0);
	rl_net_free(&w->shard, err);
	w->shard.os = NULL;
	rl_shard_term(&w->shard);
}

/* Two ends of a connection; false when faults prevented it. */
static inline bool world_pair(struct world *w, struct rl_stream **a, struct rl_stream **b)
{
	struct rl_listener *l = NULL;
	struct rl_dial *d = NULL;
	struct rl_listener_config config = {0};
	struct rl_addr addr;
	int fd = -EAGAIN, peer = -EAGAIN;
	rl_addr_parse(&addr, "127.0.0.1", 0);
	CHECK_EQ(rl_listener_open(w->net, &addr, &config, &l), 0);
	CHECK_EQ(rl_listener_addr(l, &addr), 0);
	CHECK_EQ(rl_dial_open(w->net, &addr, 1, &d), 0);
	for (int i = 0; i < WORLD_PATIENCE && fd == -EAGAIN; i++) {
		world_step(w, 1);
		fd = rl_dial_take(d);
	}
	for (int i = 0; i < WORLD_PATIENCE && fd >= 0 && peer == -EAGAIN; i++) {
		peer = rl_listener_accept(l);
		world_step(w, 1);
	}
	rl_dial_disown(d);
	rl_listener_disown(l);
	if (fd >= 0 && peer >= 0) {
		*a = rl_stream_new(w->net, fd);
		*b = rl_stream_new(w->net, peer);
		rl_stream_own(*a, a);
		rl_stream_own(*b, b);
		return true;
	}
	if (fd >= 0)
		w->shard.os->ops->close_now(w->shard.os, fd);
	return false;
}

/* Let go of a stream variable. */
static inline void world_drop(struct rl_stream **s)
{
	if (*s)
		rl_stream_own(*s, NULL);
	*s = NULL;
}

#endif
