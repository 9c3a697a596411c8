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

TEST(a_preempted_task_ends_the_turn)
{
	struct probe p;
	probe_open(&p, yield_twice);
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	rl_shard_turn(&p.shard);
	CHECK_EQ(p.log_len, 1);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log_len, 6);
	CHECK_EQ(p.log[2], 1);
	CHECK_EQ(p.log[3], 2);
	probe_close(&p);
}

/* The first task spawns many and ends; the others count whether they run in their order. */
static unsigned in_order;

static enum rl_ran spawn_many(struct probe *p, struct rl_task *t)
{
	for (unsigned i = 0; t->id == 1 && i < 3 * RL_QUEUE_SHORT; i++)
		rl_task_new(&p->shard, 0);
	in_order += t->id == in_order + 1;
	return RL_RAN_ENDED;
}

TEST(tasks_spawned_in_one_turn_run_in_order_however_many)
{
	struct probe p;
	probe_open(&p, spawn_many);
	in_order = 0;
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(in_order, 3 * RL_QUEUE_SHORT + 1);
	probe_close(&p);
}

/* A tree of tasks: `raises` is the height below a task, new ones get theirs from their parent. */
static unsigned most;

static enum rl_ran spawn_tree(struct probe *p, struct rl_task *t)
{
	for (int i = 0; t->raises > 0 && i < 10; i++)
		rl_task_new(&p->shard, 0)->raises = (uint8_t)(t->raises - 1);
	most = p->shard.live > most ? p->shard.live : most;
	return RL_RAN_ENDED;
}

TEST(a_tree_of_tasks_is_walked_depth_first)
{
	struct probe p;
	probe_open(&p, spawn_tree);
	most = 0;
	rl_task_new(&p.shard, 0)->raises = 5;
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.shard.counts.finished, 111111);
	CHECK(most < 20000);
	probe_close(&p);
}

/* RL_QUEUE_SHORT tasks go on for ever; one more waits in the backlog: how many runs until it runs?
 * It then stops them. */
static unsigned runs;
static bool stopped;

static enum rl_ran spin(struct probe *p, struct rl_task *t)
{
	runs++;
	stopped = stopped || t->id > RL_QUEUE_SHORT;
	if (stopped)
		return RL_RAN_ENDED;
	rl_ready(&p->shard, t);
	return RL_RAN_PARKED;
}

TEST(the_backlog_does_not_starve)
{
	struct probe p;
	probe_open(&p, spin);
	runs = 0;
	stopped = false;
	for (int i = 0; i <= RL_QUEUE_SHORT; i++)
		rl_task_new(&p.shard, 0);
	CHECK_EQ(p.shard.runq.backlog_len, 1);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK(runs < 4 * RL_QUEUE_SHORT);
	probe_close(&p);
}

/* The first task yields once, behind all others. */
static uint64_t last_run;

static enum rl_ran yield_first(struct probe *p, struct rl_task *t)
{
	last_run = t->id;
	if (t->id > 1 || t->raises++ > 0)
		return RL_RAN_ENDED;
	t->state = RL_TASK_READY;
	rl_ready_last(&p->shard, t);
	return RL_RAN_PARKED;
}

TEST(who_yields_runs_behind_everything)
{
	struct probe p;
	probe_open(&p, yield_first);
	for (int i = 0; i < 2 * RL_QUEUE_SHORT; i++)
		rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(last_run, 1);
	probe_close(&p);
}

/* Which lists a given-up task was on does not matter. */
TEST(runnable_tasks_can_be_abandoned)
{
	struct probe p;
	probe_open(&p, end_at_once);
	for (int i = 0; i < 2 * RL_QUEUE_SHORT; i++)
		rl_task_new(&p.shard, 0);
	for (uint32_t i = 2 * RL_QUEUE_SHORT; i > 0; i--) {
		struct rl_task *t = rl_task_at(&p.shard, i - 1);
		rl_wait_abandon(&p.shard, t);
		rl_task_free(&p.shard, t);
	}
	CHECK_EQ(rl_shard_runnable(&p.shard), 0);
	CHECK_EQ(p.shard.live, 0);
	probe_close(&p);
}

/* A warm record keeps what its task ran on, and is the next to be used. */
static enum rl_ran end_warm(struct probe *p, struct rl_task *t)
{
	t->co = p;
	return RL_RAN_ENDED;
}

TEST(a_warm_record_is_used_first)
{
	struct probe p;
	uint32_t slot = 9;
	probe_open(&p, end_warm);
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.shard.warm_len, 2);
	CHECK(rl_task_at(&p.shard, 1) == NULL);
	struct rl_task *t = rl_task_new(&p.shard, 0);
	CHECK(t->co == &p);
	CHECK_EQ(t->slot, 1);
	CHECK_EQ(t->id, 3);
	CHECK(rl_task_take_warm(&p.shard, &slot) == &p);
	CHECK_EQ(slot, 0);
	CHECK(rl_task_take_warm(&p.shard, &slot) == NULL);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
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
	RUN(a_preempted_task_ends_the_turn);
	RUN(tasks_spawned_in_one_turn_run_in_order_however_many);
	RUN(a_tree_of_tasks_is_walked_depth_first);
	RUN(the_backlog_does_not_starve);
	RUN(who_yields_runs_behind_everything);
	RUN(runnable_tasks_can_be_abandoned);
	RUN(a_warm_record_is_used_first);
	RUN(deadlines_fire_in_their_order_and_never_early);
	RUN(says_deadlock_when_nothing_can_wake_anybody);
	RUN(does_not_wait_for_daemons_but_for_holds);
	RUN(alarms_fire_once_and_can_be_moved_and_stopped);
	return FINISH();
}
