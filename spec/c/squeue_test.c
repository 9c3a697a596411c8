/* SPDX-License-Identifier: MIT */
/* squeue: who joined is claimed in order or leaves; what leaves lets the object settle. */
#include "fleet_probe.h"

#include "rt/squeue.h"

static struct rl_squeue queue;
static int settled, codes[4];
static bool joined[4];

static void never(struct rl_shared *o)
{
	(void)o;
}

static const struct rl_shared_class class = {"queue", never};

static void settle(struct rl_squeue *q, struct rl_list *claimed)
{
	CHECK(q == &queue && rl_list_empty(claimed));
	settled++;
}

static enum rl_ran join(struct member *m, struct rl_task *t)
{
	struct rl_list claimed;
	codes[t->slot] = t->result;
	if (joined[t->slot])
		return RL_RAN_ENDED;
	joined[t->slot] = true;
	struct rl_waiter *w = rl_squeue_waiter(&m->shard, t, &queue);
	rl_squeue_lock(&queue, &claimed);
	rl_squeue_join(&queue, w);
	rl_squeue_unlock(&m->shard, &queue, &claimed);
	rl_squeue_park(&m->shard, w, RL_REASON_WAIT, -1);
	return RL_RAN_PARKED;
}

static void open_three(struct members *all)
{
	settled = 0;
	memset(joined, 0, sizeof joined);
	rl_squeue_init(&queue, &class, settle);
	members_open(all, 2, join);
	for (int i = 0; i < 3; i++)
		rl_task_new(&all->at[0].shard, 0);
	rl_shard_turn(&all->at[0].shard);
}

static void check_over(struct members *all)
{
	CHECK(!rl_squeue_first(&queue));
	members_close(all);
	CHECK_EQ(atomic_load(&queue.shared.refs), 1);
	rl_squeue_term(&queue);
}

TEST(one_leaves_the_others_are_claimed)
{
	struct members all;
	struct rl_list claimed;
	open_three(&all);
	struct rl_shard *s = &all.at[0].shard;
	CHECK(rl_squeue_first(&queue)->ticket->due.task->slot == 0);
	rl_wait_end(s, rl_task_at(s, 0), -ETIMEDOUT);
	CHECK_EQ(settled, 1);
	rl_squeue_lock(&queue, &claimed);
	CHECK(rl_squeue_first(&queue)->ticket->due.task->slot == 1);
	rl_squeue_claim_all(&queue, &claimed);
	rl_squeue_unlock(&all.at[1].shard, &queue, &claimed);
	rl_shard_turn(s);
	CHECK_EQ(s->live, 0);
	CHECK(codes[0] == -ETIMEDOUT && codes[1] == 0 && codes[2] == 0);
	CHECK_EQ(settled, 1);
	check_over(&all);
}

TEST(one_whose_wait_has_ended_is_not_claimed)
{
	struct members all;
	struct rl_list claimed;
	open_three(&all);
	struct rl_shard *s = &all.at[0].shard;
	struct rl_task *t = rl_task_at(s, 0);
	CHECK(rl_ticket_claim(rl_ticket_at(t->deadline)));
	rl_squeue_lock(&queue, &claimed);
	CHECK(!rl_squeue_claim(rl_squeue_first(&queue), &claimed));
	CHECK(rl_squeue_claim(rl_squeue_first(&queue), &claimed));
	rl_squeue_unlock(s, &queue, &claimed);
	rl_wait_abandon(s, t);
	rl_task_free(s, t);
	CHECK_EQ(settled, 0); /* it was off the list already */
	rl_wait_end(s, rl_task_at(s, 2), -RL_ECANCEL);
	rl_shard_turn(s);
	CHECK_EQ(s->live, 0);
	check_over(&all);
}

/* Tasks are given up while what ends their wait is under way: before it is sent, and after. */
TEST(one_that_is_claimed_may_be_abandoned)
{
	struct members all;
	struct rl_list claimed;
	open_three(&all);
	struct rl_shard *s = &all.at[0].shard;
	rl_squeue_lock(&queue, &claimed);
	rl_squeue_claim_all(&queue, &claimed);
	pthread_mutex_unlock(&queue.lock);
	for (uint32_t i = 0; i < 3; i++) {
		struct rl_task *t = rl_task_at(s, i);
		if (i == 2)
			rl_waiter_fire_all(&all.at[1].shard, &claimed);
		rl_wait_abandon(s, t);
		rl_task_free(s, t);
	}
	rl_shard_turn(s);
	CHECK_EQ(settled, 0);
	check_over(&all);
}

TEST(forgotten_before_it_parked)
{
	struct members all;
	members_open(&all, 1, join);
	rl_squeue_init(&queue, &class, settle);
	settled = 0;
	struct rl_task *t = rl_task_new(&all.at[0].shard, 0);
	struct rl_waiter *w = rl_squeue_waiter(&all.at[0].shard, t, &queue);
	rl_squeue_forget(&all.at[0].shard, w);
	CHECK_EQ(settled, 0);
	rl_wait_abandon(&all.at[0].shard, t);
	rl_task_free(&all.at[0].shard, t);
	check_over(&all);
}

int main(void)
{
	RUN(one_leaves_the_others_are_claimed);
	RUN(one_whose_wait_has_ended_is_not_claimed);
	RUN(one_that_is_claimed_may_be_abandoned);
	RUN(forgotten_before_it_parked);
	return FINISH();
}
