/* SPDX-License-Identifier: MIT */
/* satomic: counters are exact, and no change is missed by who waits for it, on any shard. */
#include "fleet_probe.h"

#include "rt/satomic.h"

#define SHARDS 4
#define ROUNDS 20000

static struct rl_satomic *cell;

static void put_away(void)
{
	rl_shared_put((struct rl_shared *)cell);
}

TEST(operations)
{
	struct rl_shard s = {0};
	cell = rl_satomic_new(5);
	int64_t expected = 4;
	CHECK_EQ(rl_satomic_add(&s, cell, -7), -2);
	CHECK_EQ(rl_satomic_exchange(&s, cell, 9), -2);
	CHECK(!rl_satomic_cas(&s, cell, &expected, 1));
	CHECK_EQ(expected, 9);
	CHECK(rl_satomic_cas(&s, cell, &expected, INT64_MAX));
	CHECK_EQ(rl_satomic_add(&s, cell, 1), INT64_MIN);
	CHECK_EQ(rl_satomic_load(cell), INT64_MIN);
	CHECK_EQ((uintptr_t)cell % 64, 0);
	put_away();
}

/* ---- by hand: one shard waits, another changes ---- */

static int waits, results[2];

static enum rl_ran wait_for_change(struct member *m, struct rl_task *t)
{
	if (waits > 0) {
		results[t->slot] = t->result;
		return RL_RAN_ENDED;
	}
	int64_t due = m->index == 0 ? -1 : rl_shard_now(&m->shard);
	CHECK_EQ(rl_satomic_wait(&m->shard, t, cell, 3, 0), -ETIMEDOUT);
	CHECK_EQ(rl_satomic_wait(&m->shard, t, cell, 4, 0), 1);
	CHECK_EQ(rl_satomic_wait(&m->shard, t, cell, 3, due), 0);
	return RL_RAN_PARKED;
}

TEST(wakes_when_the_value_differs)
{
	struct members all;
	waits = 0;
	cell = rl_satomic_new(3);
	members_open(&all, 2, wait_for_change);
	struct rl_task *t = rl_task_new(&all.at[0].shard, 0);
	rl_shard_turn(&all.at[0].shard);
	waits = 1;
	rl_satomic_exchange(&all.at[1].shard, cell, 3);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(t->state, RL_TASK_PARKED_SHARED);
	rl_satomic_add(&all.at[1].shard, cell, 1);
	CHECK_EQ(t->state, RL_TASK_PARKED_SHARED);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(all.at[0].shard.live, 0);
	CHECK_EQ(results[0], 0);
	members_close(&all);
	put_away();
}

TEST(deadline_leaves_nothing)
{
	struct members all;
	waits = 0;
	cell = rl_satomic_new(3);
	members_open(&all, 2, wait_for_change);
	rl_task_new(&all.at[1].shard, 0);
	rl_shard_turn(&all.at[1].shard);
	waits = 1;
	int64_t limit = member_now(NULL) + 20000000000;
	while (all.at[1].shard.live > 0 && member_now(NULL) < limit)
		rl_shard_turn(&all.at[1].shard);
	CHECK_EQ(results[0], -ETIMEDOUT);
	CHECK(rl_list_empty(&((struct rl_squeue *)cell)->waiters));
	rl_satomic_add(&all.at[0].shard, cell, 1);
	members_close(&all);
	CHECK_EQ(atomic_load(&((struct rl_shared *)cell)->refs), 1);
	put_away();
}

/* ---- on threads ---- */

static unsigned rounds[SHARDS];

static enum rl_ran add_many(struct member *m, struct rl_task *t)
{
	(void)t;
	for (int i = 0; i < ROUNDS; i++) {
		rl_satomic_add(&m->shard, cell, 1);
		int64_t is = rl_satomic_load(cell);
		while (!rl_satomic_cas(&m->shard, cell, &is, is + 2))
			continue;
	}
	return RL_RAN_ENDED;
}

TEST(counters_are_exact)
{
	struct members all;
	cell = rl_satomic_new(0);
	members_open(&all, SHARDS, add_many);
	for (unsigned i = 0; i < SHARDS; i++)
		rl_task_new(&all.at[i].shard, 0);
	members_run(&all);
	CHECK_EQ(rl_satomic_load(cell), 3LL * SHARDS * ROUNDS);
	members_close(&all);
	put_away();
}

/* The cell says whose turn it is: round the shards, each adds one and waits for its next turn. A
 * change that is missed is a deadlock. */
static enum rl_ran take_turns(struct member *m, struct rl_task *t)
{
	for (;;) {
		int64_t now = rl_satomic_load(cell);
		if (now >= (int64_t)SHARDS * ROUNDS)
			return RL_RAN_ENDED;
		if (now % SHARDS == m->index) {
			rounds[m->index]++;
			rl_satomic_add(&m->shard, cell, 1);
		} else if (rl_satomic_wait(&m->shard, t, cell, now, -1) == 0) {
			return RL_RAN_PARKED;
		}
	}
}

TEST(no_change_is_missed)
{
	struct members all;
	cell = rl_satomic_new(0);
	members_open(&all, SHARDS, take_turns);
	for (unsigned i = 0; i < SHARDS; i++) {
		rounds[i] = 0;
		rl_task_new(&all.at[i].shard, 0);
	}
	members_run(&all);
	for (unsigned i = 0; i < SHARDS; i++)
		CHECK_EQ(rounds[i], ROUNDS);
	members_close(&all);
	CHECK(rl_list_empty(&((struct rl_squeue *)cell)->waiters));
	put_away();
}

int main(void)
{
	RUN(operations);
	RUN(wakes_when_the_value_differs);
	RUN(deadline_leaves_nothing);
	RUN(counters_are_exact);
	RUN(no_change_is_missed);
	return FINISH();
}
