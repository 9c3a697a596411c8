/* SPDX-License-Identifier: MIT */
/* sbarrier: nobody passes before all have come, whoever gives up on the way. */
#include "fleet_probe.h"

#include "base/rand.h"
#include "rt/sbarrier.h"

#define SHARDS 8
#define GENERATIONS 1000

static struct rl_sbarrier *barrier;

static void put_away(void)
{
	CHECK_EQ(rl_sbarrier_waiting(barrier), 0);
	CHECK(rl_list_empty(&((struct rl_squeue *)barrier)->waiters));
	rl_shared_put((struct rl_shared *)barrier);
}

/* ---- by hand: tasks of three shards ---- */

static int64_t places[3];
static int codes[3];
static bool begun[3];

static void note_place(struct member *m, struct rl_task *t, struct rl_waiter *w)
{
	(void)t;
	places[m->index] = w->code ? w->code : w->value.integer;
}

static enum rl_ran come(struct member *m, struct rl_task *t)
{
	if (begun[m->index]) {
		codes[m->index] = t->result;
		return RL_RAN_ENDED;
	}
	begun[m->index] = true;
	places[m->index] = rl_sbarrier_wait(&m->shard, t, barrier, -1);
	return places[m->index] == 0 ? RL_RAN_PARKED : RL_RAN_ENDED;
}

static void open_three(struct members *all)
{
	barrier = rl_sbarrier_new(3);
	memset(begun, 0, sizeof begun);
	memset(codes, 0, sizeof codes);
	members_open(all, 3, come);
	for (unsigned i = 0; i < 3; i++) {
		all->at[i].arrived = note_place;
		rl_task_new(&all->at[i].shard, 0);
	}
}

static void turn_all(struct members *all)
{
	for (unsigned i = 0; i < 3; i++)
		rl_shard_turn(&all->at[i].shard);
}

static void again(struct members *all, unsigned i)
{
	begun[i] = false;
	rl_task_new(&all->at[i].shard, 0);
}

TEST(each_is_told_its_place)
{
	struct members all;
	open_three(&all);
	rl_shard_turn(&all.at[1].shard);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(rl_sbarrier_waiting(barrier), 2);
	rl_shard_turn(&all.at[2].shard);
	CHECK_EQ(rl_sbarrier_waiting(barrier), 0);
	turn_all(&all);
	CHECK(places[1] == 1 && places[0] == 2 && places[2] == 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(all.at[i].shard.live, 0);
	members_close(&all);
	put_away();
}

TEST(who_gives_up_does_not_count)
{
	struct members all;
	open_three(&all);
	rl_shard_turn(&all.at[0].shard);
	rl_shard_turn(&all.at[1].shard);
	rl_wait_end(&all.at[0].shard, rl_task_at(&all.at[0].shard, 0), -ETIMEDOUT);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(codes[0], -ETIMEDOUT);
	rl_shard_turn(&all.at[2].shard);
	CHECK_EQ(rl_sbarrier_waiting(barrier), 2);
	CHECK_EQ(rl_sbarrier_wait(&all.at[0].shard, NULL, barrier, 0), 3);
	turn_all(&all);
	CHECK(places[1] == 1 && places[2] == 2);
	CHECK_EQ(rl_sbarrier_wait(&all.at[0].shard, NULL, barrier, 0), -ETIMEDOUT);
	members_close(&all);
	put_away();
}

/* Its own shard has ended the wait of one, which has not left the list yet, when the last comes. */
TEST(one_that_is_about_to_leave_sends_the_others_back)
{
	struct members all;
	open_three(&all);
	rl_shard_turn(&all.at[0].shard);
	rl_shard_turn(&all.at[1].shard);
	struct rl_task *t = rl_task_at(&all.at[1].shard, 0);
	struct rl_ticket *k = rl_ticket_at(t->deadline);
	CHECK(rl_ticket_claim(k));
	rl_shard_turn(&all.at[2].shard);
	CHECK_EQ(places[2], 0);
	CHECK_EQ(rl_sbarrier_waiting(barrier), 1);
	rl_wait_abandon(&all.at[1].shard, t);
	rl_task_free(&all.at[1].shard, t);
	rl_shard_turn(&all.at[0].shard);
	CHECK_EQ(places[0], -EAGAIN);
	CHECK_EQ(codes[0], -EAGAIN);
	again(&all, 0);
	again(&all, 1);
	rl_shard_turn(&all.at[0].shard);
	rl_shard_turn(&all.at[1].shard);
	turn_all(&all);
	CHECK(places[2] == 1 && places[0] == 2 && places[1] == 3);
	members_close(&all);
	put_away();
}

/* ---- on threads ---- */

struct visitor {
	unsigned passed;
	bool waits;
};

static struct visitor visitors[SHARDS];
static _Atomic unsigned arrived[GENERATIONS + 1], last[GENERATIONS + 1], gave_up;
static struct rl_rand dice[SHARDS];
static bool impatient;

/* All have come to the barrier that this one passes. */
static void pass(struct visitor *v)
{
	CHECK_EQ(atomic_load(&arrived[v->passed]), SHARDS);
	v->passed++;
}

static enum rl_ran visit(struct member *m, struct rl_task *t)
{
	struct visitor *v = &visitors[m->index];
	if (v->waits && t->result == 0)
		pass(v);
	if (v->waits && t->result < 0) {
		atomic_fetch_sub(&arrived[v->passed], 1);
		atomic_fetch_add(&gave_up, t->result == -ETIMEDOUT);
	}
	v->waits = false;
	if (v->passed == GENERATIONS)
		return RL_RAN_ENDED;
	uint64_t limited = impatient ? rl_rand_below(&dice[m->index], 6) : 6;
	int64_t due = limited < 2 ? rl_shard_now(&m->shard) + (limited ? 50000 : 0) : -1;
	atomic_fetch_add(&arrived[v->passed], 1);
	int64_t place = rl_sbarrier_wait(&m->shard, t, barrier, due);
	v->waits = place == 0;
	if (place > 0) {
		CHECK_EQ(place, SHARDS);
		CHECK_EQ(atomic_fetch_add(&last[v->passed], 1), 0);
		pass(v);
		rl_ready_last(&m->shard, t);
	}
	return RL_RAN_PARKED;
}

static void meet_on_threads(void)
{
	struct members all;
	barrier = rl_sbarrier_new(SHARDS);
	memset(visitors, 0, sizeof visitors);
	memset(arrived, 0, sizeof arrived);
	memset(last, 0, sizeof last);
	members_open(&all, SHARDS, visit);
	for (unsigned i = 0; i < SHARDS; i++) {
		rl_rand_seed(&dice[i], i);
		rl_task_new(&all.at[i].shard, 0);
	}
	members_run(&all);
	for (unsigned i = 0; i < SHARDS; i++)
		CHECK_EQ(visitors[i].passed, GENERATIONS);
	members_close(&all);
	put_away();
}

TEST(a_thousand_generations)
{
	impatient = false;
	meet_on_threads();
}

TEST(with_some_who_give_up)
{
	impatient = true;
	atomic_store(&gave_up, 0);
	meet_on_threads();
	CHECK(atomic_load(&gave_up) > 0);
}

int main(void)
{
	RUN(each_is_told_its_place);
	RUN(who_gives_up_does_not_count);
	RUN(one_that_is_about_to_leave_sends_the_others_back);
	RUN(a_thousand_generations);
	RUN(with_some_who_give_up);
	return FINISH();
}
