/* SPDX-License-Identifier: MIT */
/* Pools of helper threads: how many there are, what the queue holds, what close waits for. */
#define _GNU_SOURCE
#include "offload_check.h"

TEST(no_thread_runs_before_there_is_a_call)
{
	struct rl_offload *p = pool_open(3, 10, FOR_EVER);
	CHECK_EQ(stats_of(p).threads, 0);
	CHECK_EQ(strcmp(rl_offload_name(p), "test"), 0);
	CHECK(rl_offload_of(rl_offload_shared(p)) == p);
	CHECK(rl_offload_of(NULL) == NULL);
	pool_put(p);
}

TEST(every_call_runs_once_and_comes_home_once)
{
	enum { ITEMS = 1000 };
	static struct item items[ITEMS];
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(4, ITEMS, FOR_EVER);
	for (int i = 0; i < ITEMS; i++)
		CHECK_EQ(item_submit(&items[i], &d, p, false, NULL), 0);
	CHECK_EQ(d.os.works, ITEMS);
	DOCK_UNTIL(&d, homes == ITEMS);
	for (int i = 0; i < ITEMS; i++) {
		CHECK(items[i].runs == 1 && items[i].homes == 1 && items[i].signals);
		CHECK(items[i].call->is_home && items[i].call->ok);
		item_put(&items[i]);
	}
	CHECK(atomic_load(&running_max) <= 4);
	CHECK(stats_of(p).peak <= 4);
	CHECK_EQ(stats_of(p).done, ITEMS);
	dock_close(&d);
	pool_put(p);
}

TEST(a_call_that_blocks_holds_up_no_other_while_there_are_threads)
{
	enum { THREADS = 3 };
	struct item stuck[THREADS], more[THREADS];
	atomic_int gate = 0;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(THREADS, 10, FOR_EVER);
	for (int i = 0; i < THREADS - 1; i++)
		item_submit(&stuck[i], &d, p, false, &gate);
	AWAIT(atomic_load(&running) == THREADS - 1);
	for (int i = 0; i < THREADS; i++)
		item_submit(&more[i], &d, p, false, NULL);
	DOCK_UNTIL(&d, homes == THREADS);
	CHECK_EQ(stats_of(p).threads, THREADS);
	atomic_store(&gate, 1);
	DOCK_UNTIL(&d, homes == 2 * THREADS - 1);
	for (int i = 0; i < THREADS; i++)
		item_put(&more[i]);
	for (int i = 0; i < THREADS - 1; i++)
		item_put(&stuck[i]);
	dock_close(&d);
	pool_put(p);
}

TEST(one_thread_is_enough_for_calls_that_come_one_at_a_time)
{
	struct item item;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(4, 10, FOR_EVER);
	for (int i = 1; i <= 20; i++) {
		item_submit(&item, &d, p, false, NULL);
		DOCK_UNTIL(&d, homes == i);
		item_put(&item);
		AWAIT(stats_of(p).idle == stats_of(p).threads);
	}
	CHECK_EQ(stats_of(p).peak, 1);
	CHECK_EQ(atomic_load(&states), 1);
	dock_close(&d);
	pool_put(p);
}

TEST(a_full_queue_refuses_or_has_them_stand_in_line)
{
	struct item items[6];
	atomic_int gate = 0;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(1, 2, FOR_EVER);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(item_submit(&items[i], &d, p, false, &gate), 0);
	struct item refused;
	CHECK_EQ(item_submit(&refused, &d, p, false, NULL), -EAGAIN);
	item_put(&refused);
	for (int i = 3; i < 6; i++)
		CHECK_EQ(item_submit(&items[i], &d, p, true, NULL), 1);
	CHECK_EQ(stats_of(p).lined, 3);
	CHECK(!items[3].call->is_admitted);
	atomic_store(&gate, 1);
	DOCK_UNTIL(&d, homes == 6);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ(items[i].order, i + 1);
		CHECK_EQ(items[i].admissions, i >= 3);
		item_put(&items[i]);
	}
	dock_close(&d);
	pool_put(p);
}

TEST(idle_threads_end_and_others_start_again)
{
	struct item items[4];
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(4, 10, 5 * MS);
	for (int round = 1; round <= 3; round++) {
		atomic_int gate = 0;
		for (int i = 0; i < 4; i++)
			item_submit(&items[i], &d, p, false, &gate);
		AWAIT(atomic_load(&running) == 4);
		atomic_store(&gate, 1);
		DOCK_UNTIL(&d, homes == 4 * round);
		for (int i = 0; i < 4; i++)
			item_put(&items[i]);
		AWAIT(stats_of(p).threads == 0);
		CHECK_EQ(atomic_load(&states_ended), 4 * round);
	}
	dock_close(&d);
	pool_put(p);
}

/* It still counts as a thread, so no other may be started then. */
TEST(a_call_that_comes_while_the_last_thread_ends_is_run)
{
	struct item items[2];
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(1, 10, 0);
	atomic_store(&ends_begun, 0);
	atomic_store(&end_gate, 1);
	item_submit(&items[0], &d, p, false, NULL);
	DOCK_UNTIL(&d, homes == 1 && atomic_load(&ends_begun) == 1);
	CHECK_EQ(item_submit(&items[1], &d, p, false, NULL), 0);
	CHECK_EQ(stats_of(p).threads, 1);
	atomic_store(&end_gate, 0);
	DOCK_UNTIL(&d, homes == 2);
	CHECK_EQ(stats_of(p).peak, 1);
	for (int i = 0; i < 2; i++)
		item_put(&items[i]);
	dock_close(&d);
	pool_put(p);
}

TEST(a_pool_grows_and_shrinks_when_told)
{
	struct item items[6];
	atomic_int gate = 0;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(1, 1, FOR_EVER);
	for (int i = 0; i < 6; i++)
		item_submit(&items[i], &d, p, true, &gate);
	AWAIT(atomic_load(&running) == 1);
	CHECK_EQ(stats_of(p).lined, 4);
	rl_offload_resize(p, &d.shard, 4);
	AWAIT(atomic_load(&running) == 4);
	CHECK_EQ(stats_of(p).lined, 1);
	rl_offload_resize(p, &d.shard, 2);
	CHECK_EQ(stats_of(p).threads, 4);
	atomic_store(&gate, 1);
	DOCK_UNTIL(&d, homes == 6);
	AWAIT(stats_of(p).threads == 2);
	for (int i = 0; i < 6; i++)
		item_put(&items[i]);
	dock_close(&d);
	pool_put(p);
}

TEST(shut_fails_what_waits_and_lets_run_what_runs)
{
	struct item items[4];
	atomic_int gate = 0;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(1, 1, FOR_EVER);
	for (int i = 0; i < 4; i++)
		item_submit(&items[i], &d, p, true, &gate);
	AWAIT(atomic_load(&running) == 1);
	rl_offload_shut(p, &d.shard);
	rl_offload_shut(p, &d.shard);
	DOCK_UNTIL(&d, homes == 3);
	struct item late;
	CHECK_EQ(item_submit(&late, &d, p, true, NULL), -RL_ECLOSED);
	item_put(&late);
	atomic_store(&gate, 1);
	DOCK_UNTIL(&d, homes == 4);
	CHECK_EQ(items[0].call->err, 0);
	AWAIT(stats_of(p).threads == 0);
	for (int i = 0; i < 4; i++) {
		CHECK(i == 0 || (items[i].call->err == -RL_ECLOSED && items[i].runs == 0));
		item_put(&items[i]);
	}
	dock_close(&d);
	pool_put(p);
}

TEST(close_abandons_a_call_that_does_not_end)
{
	static struct item stuck;
	static atomic_int gate;
	struct dock d;
	dock_open(&d);
	struct rl_offload *p = pool_open(2, 1, FOR_EVER);
	item_submit(&stuck, &d, p, false, &gate);
	AWAIT(atomic_load(&running) == 1);
	int64_t from = clock_ns();
	CHECK_EQ(rl_offload_close(p, from + 30 * MS), -EBUSY);
	CHECK(clock_ns() - from >= 30 * MS);
	CHECK_EQ(rl_offload_close(p, 0), -EBUSY);
	item_put(&stuck);
	dock_close(&d);
	rl_shared_put(rl_offload_shared(p));
	atomic_store(&gate, 1);
	AWAIT(atomic_load(&pools_freed) == 1); /* by its last thread */
	CHECK_EQ(atomic_load(&stuck.runs), 1);
	usleep(20000);
}

int main(void)
{
	RUN(no_thread_runs_before_there_is_a_call);
	RUN(every_call_runs_once_and_comes_home_once);
	RUN(a_call_that_blocks_holds_up_no_other_while_there_are_threads);
	RUN(one_thread_is_enough_for_calls_that_come_one_at_a_time);
	RUN(a_full_queue_refuses_or_has_them_stand_in_line);
	RUN(idle_threads_end_and_others_start_again);
	RUN(a_call_that_comes_while_the_last_thread_ends_is_run);
	RUN(a_pool_grows_and_shrinks_when_told);
	RUN(shut_fails_what_waits_and_lets_run_what_runs);
	RUN(close_abandons_a_call_that_does_not_end);
	return FINISH();
}
