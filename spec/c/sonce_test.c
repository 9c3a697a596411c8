/* SPDX-License-Identifier: MIT */
/* sonce: exactly one does it, all get its result, and the next one does it if it was given up. */
#include "fleet_probe.h"

#include "rt/sonce.h"

#define SHARDS 4
#define TASKS 8
#define ROUNDS 300

static struct rl_sonce *once;
static _Atomic int runs, results;

static struct rl_parcel *result(void)
{
	struct rl_parcel *p = rl_parcel_new(2, 0);
	memcpy(p->data, "ok", 2);
	return p;
}

static void put_away(void)
{
	CHECK_EQ(atomic_load(&((struct rl_shared *)once)->refs), 1);
	rl_shared_put((struct rl_shared *)once);
}

/* ---- by hand ---- */

static int turns[3];

static enum rl_ran begin(struct member *m, struct rl_task *t)
{
	int turn = rl_sonce_begin(&m->shard, t, once, -1);
	turns[t->slot] = turn;
	return turn == RL_SONCE_PARKED ? RL_RAN_PARKED : RL_RAN_ENDED;
}

TEST(given_up_and_done)
{
	struct members all;
	once = rl_sonce_new();
	members_open(&all, 1, begin);
	struct rl_shard *s = &all.at[0].shard;
	for (int i = 0; i < 3; i++)
		rl_task_new(s, 0);
	rl_shard_turn(s);
	CHECK(turns[0] == RL_SONCE_YOURS && turns[1] == RL_SONCE_PARKED);
	CHECK_EQ(rl_sonce_begin(s, NULL, once, 0), -ETIMEDOUT);
	rl_sonce_give_up(s, once);
	rl_shard_turn(s);
	CHECK(turns[1] == RL_SONCE_YOURS && turns[2] == RL_SONCE_PARKED);
	CHECK(!rl_sonce_is_done(once));
	rl_sonce_finish(s, once, result());
	rl_shard_turn(s);
	CHECK_EQ(turns[2], RL_SONCE_DONE);
	CHECK(rl_sonce_is_done(once) && rl_sonce_result(once)->len == 2);
	CHECK_EQ(s->live, 0);
	members_close(&all);
	put_away();
}

/* ---- on threads ---- */

/* The first two who come give up, after a turn; the third does it. */
static bool doing[SHARDS][TASKS];

static enum rl_ran attempt(struct member *m, struct rl_task *t)
{
	bool *mine = &doing[m->index][t->slot];
	if (*mine) {
		*mine = false;
		if (atomic_fetch_add(&runs, 1) < 2) {
			rl_sonce_give_up(&m->shard, once);
			return RL_RAN_ENDED;
		}
		rl_sonce_finish(&m->shard, once, result());
	}
	int turn = rl_sonce_begin(&m->shard, t, once, -1);
	if (turn == RL_SONCE_DONE) {
		CHECK_EQ(rl_sonce_result(once)->len, 2);
		atomic_fetch_add(&results, 1);
		return RL_RAN_ENDED;
	}
	if (turn == RL_SONCE_YOURS) {
		*mine = true;
		t->result = 0;
		rl_ready_last(&m->shard, t);
	}
	return RL_RAN_PARKED;
}

TEST(exactly_one_does_it)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct members all;
		once = rl_sonce_new();
		atomic_store(&runs, 0);
		atomic_store(&results, 0);
		members_open(&all, SHARDS, attempt);
		for (unsigned i = 0; i < SHARDS; i++)
			for (unsigned k = 0; k < TASKS; k++)
				rl_task_new(&all.at[i].shard, 0);
		members_run(&all);
		CHECK_EQ(atomic_load(&runs), 3);
		CHECK_EQ(atomic_load(&results), SHARDS * TASKS - 2);
		members_close(&all);
		put_away();
	}
}

int main(void)
{
	RUN(given_up_and_done);
	RUN(exactly_one_does_it);
	return FINISH();
}
