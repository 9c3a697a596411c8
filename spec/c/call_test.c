/* SPDX-License-Identifier: MIT */
/* Calls of a shard: cancelled, forgotten when it ends, from several shards, simulated. */
#define _GNU_SOURCE
#include "offload_check.h"

#include "shard_probe.h"

TEST(a_call_that_waits_is_withdrawn_and_makes_room)
{
	struct item items[4];
	atomic_int gate = 0;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(1, 1, FOR_EVER);
	for (int i = 0; i < 4; i++)
		item_submit(&items[i], &d, p, true, &gate);
	AWAIT(atomic_load(&running) == 1);
	CHECK(rl_call_cancel(items[1].call, false));
	CHECK(!rl_call_cancel(items[1].call, false));
	DOCK_UNTIL(&d, items[2].admissions == 1);
	CHECK(rl_call_cancel(items[3].call, false));
	CHECK_EQ(d.os.works, 2);
	atomic_store(&gate, 1);
	DOCK_UNTIL(&d, homes == 2);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(atomic_load(&items[i].runs), i % 2 == 0);
		item_put(&items[i]);
	}
	dock_close(&d);
	pool_put(p);
}

static atomic_ulong signalled;

static void on_signal(int sig)
{
	(void)sig;
	atomic_store(&signalled, (unsigned long)pthread_self());
}

TEST(a_call_that_runs_is_told_on_its_own_thread)
{
	struct sigaction now = {.sa_handler = on_signal}, before;
	struct item item;
	atomic_int gate = DEAF;
	struct dock d;
	dock_open(&d);
	sigaction(SIGURG, &now, &before);
	struct rl_offload *p = pool_open(1, 1, FOR_EVER);
	item_submit(&item, &d, p, false, &gate);
	AWAIT(atomic_load(&running) == 1);
	CHECK(!rl_call_cancel(item.call, true));
	AWAIT(atomic_load(&signalled) != 0);
	atomic_store(&gate, 1);
	DOCK_UNTIL(&d, homes == 1);
	CHECK(atomic_load(&signalled) == item.thread);
	CHECK(!rl_call_cancel(item.call, true));
	item_put(&item);
	dock_close(&d);
	pool_put(p);
	sigaction(SIGURG, &before, NULL);
}

TEST(a_shard_that_ends_forgets_its_calls_wherever_they_are)
{
	enum { ITEMS = 40, ROUNDS = 50 };
	static struct item all[ROUNDS][ITEMS]; /* a thread may yet begin one of an earlier round */
	static struct dock docks[ROUNDS];
	static atomic_int gate;
	struct rl_offload *p = pool_open(2, 10, FOR_EVER);
	for (int round = 0; round < ROUNDS; round++) {
		struct dock *d = &docks[round];
		struct item *items = all[round];
		dock_open(d);
		for (int i = 0; i < ITEMS; i++)
			item_submit(&items[i], d, p, true, i % 7 == 6 ? &gate : NULL);
		if (round % 2)
			dock_reap(d);
		dock_close(d); /* some run, some have arrived, some wait, some are in line */
		for (int i = 0; i < ITEMS; i++)
			item_put(&items[i]);
		AWAIT(atomic_load(&running) == 0);
		CHECK_EQ(stats_of(p).queued + stats_of(p).lined, 0);
	}
	pool_put(p);
}

struct hammer {
	struct rl_offload *pool;
	int n;
};

static void *hammer_main(void *arg)
{
	enum { ITEMS = 50 };
	struct hammer *h = arg;
	struct item items[ITEMS];
	struct dock d;
	dock_open(&d);
	for (int round = 0; round < h->n; round++) {
		for (int i = 0; i < ITEMS; i++) {
			struct rl_call *c = rl_call_new(d.port, rl_parcel_new(0, 0));
			items[i] = (struct item){.call = c};
			c->owner = &items[i];
			c->admitted = on_admitted;
			c->home = on_admitted; /* counts there: `homes` is not for two threads */
			rl_call_submit(c, h->pool, true);
		}
		for (int i = 0; i < ITEMS; i += 5)
			rl_call_cancel(items[i].call, false);
		DOCK_UNTIL(&d, d.os.works == 0);
		for (int i = 0; i < ITEMS; i++)
			item_put(&items[i]);
	}
	dock_close(&d);
	return NULL;
}

TEST(several_shards_share_a_pool)
{
	pthread_t threads[3];
	struct rl_offload *p = pool_open(3, 4, 0);
	struct hammer h = {p, 40};
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, hammer_main, &h);
	for (unsigned i = 0; i < 60; i++) {
		struct dock d;
		dock_open(&d);
		rl_offload_resize(p, &d.shard, 1 + i % 3);
		dock_close(&d);
		usleep(500);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK(atomic_load(&running_max) <= 3);
	CHECK(stats_of(p).peak <= 3);
	pool_put(p);
}

static enum rl_ran no_step(struct probe *probe, struct rl_task *t)
{
	(void)probe;
	(void)t;
	return RL_RAN_ENDED;
}

static void poll_until_home(struct probe *probe, int want)
{
	for (int i = 0; i < 1000 && homes < want; i++)
		rl_os_poll(probe->shard.os, -1);
	CHECK_EQ(homes, want);
}

TEST(simulated_calls_run_inline_as_many_at_a_time_as_there_would_be_threads)
{
	struct item items[6];
	struct probe probe;
	probe_open(&probe, no_step);
	struct dock d = {.port = rl_port_new(&probe.shard)};
	struct rl_offload *p = pool_open(2, 2, FOR_EVER);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(item_submit(&items[i], &d, p, true, NULL), i >= 4);
	struct rl_offload_stats s = stats_of(p);
	CHECK(s.running == 2 && s.queued == 2 && s.lined == 2 && s.threads == 2);
	CHECK_EQ(atomic_load(&items[0].runs), 0);
	CHECK(rl_call_cancel(items[3].call, false));
	CHECK_EQ(items[4].admissions, 1);
	poll_until_home(&probe, 5);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(atomic_load(&items[i].runs), i != 3);
		CHECK(i == 3 || items[i].thread == (unsigned long)pthread_self());
		item_put(&items[i]);
	}
	CHECK_EQ(atomic_load(&states), 1);
	CHECK_EQ(stats_of(p).peak, 2);
	CHECK_EQ(probe.shard.os->works, 0);
	rl_port_close(d.port);
	pool_put(p);
	probe_close(&probe);
}

TEST(a_simulated_shard_that_ends_forgets_its_calls)
{
	struct item items[4];
	struct probe probe;
	probe_open(&probe, no_step);
	struct dock d = {.port = rl_port_new(&probe.shard)};
	struct rl_offload *p = pool_open(1, 2, FOR_EVER);
	for (int i = 0; i < 4; i++)
		item_submit(&items[i], &d, p, true, NULL);
	rl_port_close(d.port);
	struct rl_offload_stats s = stats_of(p);
	CHECK(s.running == 0 && s.queued == 0 && s.lined == 0);
	probe_close(&probe);
	for (int i = 0; i < 4; i++)
		item_put(&items[i]);
	pool_put(p);
}

int main(void)
{
	RUN(a_call_that_waits_is_withdrawn_and_makes_room);
	RUN(a_call_that_runs_is_told_on_its_own_thread);
	RUN(a_shard_that_ends_forgets_its_calls_wherever_they_are);
	RUN(several_shards_share_a_pool);
	RUN(simulated_calls_run_inline_as_many_at_a_time_as_there_would_be_threads);
	RUN(a_simulated_shard_that_ends_forgets_its_calls);
	return FINISH();
}
