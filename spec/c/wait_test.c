/* SPDX-License-Identifier: MIT */
/* Clauses: exactly one thing ends a wait, and every sibling is unlinked at once. */
#include "shard_probe.h"

static struct rl_waitq queues[3];

/* First run: waits for all three queues, a deadline too; second: ends. */
static enum rl_ran wait_for_three(struct probe *p, struct rl_task *t)
{
	if (t->raises++ > 0)
		return RL_RAN_ENDED;
	CHECK_EQ(rl_wait_reserve(t, 2), 0);
	rl_wait_add(t, &queues[0], 1, 0);
	rl_wait_add_more(t, &queues[1], 2, 0);
	rl_wait_add_more(t, &queues[2], 3, 5);
	rl_wait_park(&p->shard, t, RL_REASON_SELECT, rl_shard_now(&p->shard) + 1000000000);
	return RL_RAN_PARKED;
}

static struct rl_task *parked_on_three(struct probe *p)
{
	for (int i = 0; i < 3; i++)
		rl_waitq_init(&queues[i]);
	probe_open(p, wait_for_three);
	struct rl_task *t = rl_task_new(&p->shard, 0);
	rl_shard_turn(&p->shard);
	CHECK_EQ(t->state, RL_TASK_PARKED);
	for (int i = 0; i < 3; i++)
		CHECK(rl_waitq_first(&queues[i]) && rl_waitq_first(&queues[i])->task == t);
	return t;
}

static void check_unlinked(struct probe *p, struct rl_task *t)
{
	CHECK_EQ(t->state, RL_TASK_READY);
	for (int i = 0; i < 3; i++)
		CHECK(rl_waitq_first(&queues[i]) == NULL);
	CHECK(t->deadline == NULL);
	CHECK(t->more == NULL);
	CHECK_EQ(rl_shard_loop(&p->shard, &p->brk), RL_LOOP_DONE);
	probe_close(p);
}

TEST(firing_one_clause_unlinks_the_others)
{
	struct probe p;
	struct rl_task *t = parked_on_three(&p);
	CHECK_EQ(rl_waitq_first(&queues[2])->offer, 5);
	rl_wait_fire(&p.shard, rl_waitq_first(&queues[1]), 0, 0);
	CHECK_EQ(t->fired, 2);
	check_unlinked(&p, t);
}

TEST(a_cancel_unlinks_all)
{
	struct probe p;
	struct rl_task *t = parked_on_three(&p);
	rl_wait_end(&p.shard, t, -RL_ECANCEL);
	CHECK_EQ(t->result, -RL_ECANCEL);
	CHECK_EQ(t->fired, 0);
	check_unlinked(&p, t);
}

TEST(a_deadline_unlinks_all)
{
	struct probe p;
	struct rl_task *t = parked_on_three(&p);
	p.shard.os->ops->poll(p.shard.os, rl_shard_now(&p.shard) + 2000000000);
	rl_shard_now(&p.shard);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log_len, 2);
	for (int i = 0; i < 3; i++)
		CHECK(rl_waitq_first(&queues[i]) == NULL);
	(void)t;
	probe_close(&p);
}

static enum rl_ran wait_for_one(struct probe *p, struct rl_task *t)
{
	if (t->raises++ > 0)
		return RL_RAN_ENDED;
	rl_wait_add(t, &queues[0], 0, 0);
	rl_wait_park(&p->shard, t, RL_REASON_EVENT, -1);
	return RL_RAN_PARKED;
}

TEST(wakes_first_come_first_served)
{
	struct probe p;
	rl_waitq_init(&queues[0]);
	probe_open(&p, wait_for_one);
	for (int i = 0; i < 3; i++)
		rl_task_new(&p.shard, 0);
	rl_shard_turn(&p.shard);
	CHECK_EQ(rl_waitq_wake(&p.shard, &queues[0], 0, false), 1);
	rl_shard_turn(&p.shard);
	CHECK_EQ(p.log[3], 1);
	CHECK_EQ(rl_waitq_wake(&p.shard, &queues[0], 0, true), 2);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(p.log[4], 2);
	CHECK_EQ(p.log[5], 3);
	probe_close(&p);
}

int main(void)
{
	RUN(firing_one_clause_unlinks_the_others);
	RUN(a_cancel_unlinks_all);
	RUN(a_deadline_unlinks_all);
	RUN(wakes_first_come_first_served);
	return FINISH();
}
