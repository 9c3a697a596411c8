/* SPDX-License-Identifier: MIT */
/* The run loop with tasks written in C: order, ends, deadlines, alarms, deadlock. */
#include "shard_probe.h"

static enum rl_ran end_at_once(struct probe *p, struct rl_task *t)
{
	(void)p;
	(void)t;
	return RL_RAN_ENDED;
}

TEST(runs_in_the_order_readied)
{
	struct probe p;
	probe_open(&p, end_at_once);
	for (int i = 0; i < 5; i++)
		rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log_len, 5);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(p.log[i], i + 1);
	CHECK_EQ(p.shard.counts.finished, 5);
	probe_close(&p);
}

/* Yields twice, then ends. */
static enum rl_ran yield_twice(struct probe *p, struct rl_task *t)
{
	(void)p;
	return ++t->raises > 2 ? RL_RAN_ENDED : RL_RAN_YIELDED;
}

TEST(a_turn_runs_what_was_ready_when_it_began)
{
	struct probe p;
	probe_open(&p, yield_twice);
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	rl_shard_turn(&p.shard);
	CHECK_EQ(p.log_len, 2);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log_len, 6);
	CHECK_EQ(p.log[2], 1);
	CHECK_EQ(p.log[3], 2);
	probe_close(&p);
}

/* First run: sleeps 1 s times its id; second: ends. */
static enum rl_ran sleep_by_id(struct probe *p, struct rl_task *t)
{
	if (t->raises++ > 0) {
		CHECK_EQ(t->result, -ETIMEDOUT);
		return RL_RAN_ENDED;
	}
	int64_t until = rl_shard_now(&p->shard) + (int64_t)(10 - t->id) * 1000000000;
	rl_wait_park(&p->shard, t, RL_REASON_SLEEP, until);
	return RL_RAN_PARKED;
}

TEST(deadlines_fire_in_their_order_and_never_early)
{
	struct probe p;
	probe_open(&p, sleep_by_id);
	int64_t start = rl_shard_now(&p.shard);
	for (int i = 0; i < 3; i++)
		rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log[3], 3);
	CHECK_EQ(p.log[4], 2);
	CHECK_EQ(p.log[5], 1);
	CHECK(rl_shard_now(&p.shard) - start >= 9000000000);
	CHECK(p.idles > 0);
	probe_close(&p);
}

static enum rl_ran park_for_good(struct probe *p, struct rl_task *t)
{
	if (t->raises++ > 0)
		return RL_RAN_ENDED;
	rl_wait_park(&p->shard, t, RL_REASON_WAIT, -1);
	return RL_RAN_PARKED;
}

TEST(says_deadlock_when_nothing_can_wake_anybody)
{
	struct probe p;
	probe_open(&p, park_for_good);
	struct rl_task *t = rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DEADLOCK);
	rl_wait_end(&p.shard, t, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	probe_close(&p);
}

TEST(does_not_wait_for_daemons_but_for_holds)
{
	struct probe p;
	probe_open(&p, park_for_good);
	struct rl_task *t = rl_task_new(&p.shard, RL_TASK_DAEMON);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	p.shard.holds = 1;
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DEADLOCK);
	p.shard.holds = 0;
	rl_wait_end(&p.shard, t, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	probe_close(&p);
}

static unsigned fired;

static void count_fire(struct rl_alarm *a)
{
	CHECK(!rl_alarm_is_set(a));
	fired++;
}

TEST(alarms_fire_once_and_can_be_moved_and_stopped)
{
	struct probe p;
	struct rl_alarm a, b;
	probe_open(&p, sleep_by_id);
	fired = 0;
	rl_alarm_init(&a, count_fire);
	rl_alarm_init(&b, count_fire);
	rl_alarm_set(&p.shard, &a, rl_shard_now(&p.shard) + 1000000);
	rl_alarm_set(&p.shard, &a, rl_shard_now(&p.shard) + 2000000);
	rl_alarm_set(&p.shard, &b, rl_shard_now(&p.shard) + 1000000);
	rl_alarm_stop(&p.shard, &b);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(fired, 1);
	probe_close(&p);
}

int main(void)
{
	RUN(runs_in_the_order_readied);
	RUN(a_turn_runs_what_was_ready_when_it_began);
	RUN(deadlines_fire_in_their_order_and_never_early);
	RUN(says_deadlock_when_nothing_can_wake_anybody);
	RUN(does_not_wait_for_daemons_but_for_holds);
	RUN(alarms_fire_once_and_can_be_moved_and_stopped);
	return FINISH();
}
