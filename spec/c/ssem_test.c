/* SPDX-License-Identifier: MIT */
/* ssem: first come, first served; who gives up lets the next go; no token is lost. */
#include "fleet_probe.h"

#include "base/rand.h"
#include "rt/ssem.h"

#define SHARDS 4
#define TASKS 8 /* on each */
#define ROUNDS 1500 /* or more: until a wait has ended by its deadline */
#define PATIENCE_NS 20000000000

static struct rl_ssem *sem;

static void put_away(void)
{
	CHECK(rl_list_empty(&((struct rl_squeue *)sem)->waiters));
	CHECK_EQ(atomic_load(&((struct rl_shared *)sem)->refs), 1);
	rl_shared_put((struct rl_shared *)sem);
}

/* ---- by hand ---- */

/* What the tasks of the first shard want, when they give up, and the order in which they got it. */
static uint64_t wants[8];
static int64_t dues[8];
static int order[8], order_len, codes[8];
static bool begun[8];

static enum rl_ran acquire(struct member *m, struct rl_task *t)
{
	if (!begun[t->slot]) {
		begun[t->slot] = true;
		int got = rl_ssem_acquire(&m->shard, t, sem, wants[t->slot], dues[t->slot]);
		if (got == 0)
			return RL_RAN_PARKED;
		t->result = (int16_t)(got < 0 ? got : 0);
	}
	codes[t->slot] = t->result;
	if (t->result == 0)
		order[order_len++] = (int)t->slot;
	return RL_RAN_ENDED;
}

static void open_tasks(struct members *all, unsigned n)
{
	memset(begun, 0, sizeof begun);
	order_len = 0;
	members_open(all, 2, acquire);
	for (unsigned i = 0; i < n; i++)
		rl_task_new(&all->at[0].shard, 0);
	rl_shard_turn(&all->at[0].shard);
}

static void check_order(const char *want)
{
	char got[9] = {0};
	for (int i = 0; i < order_len; i++)
		got[i] = (char)('0' + order[i]);
	CHECK(strcmp(got, want) == 0);
}

TEST(small_ones_do_not_overtake)
{
	struct members all;
	sem = rl_ssem_new(4);
	for (int i = 0; i < 8; i++)
		dues[i] = -1;
	uint64_t list[] = {3, 4, 1, 1};
	memcpy(wants, list, sizeof list);
	open_tasks(&all, 4);
	check_order("0");
	CHECK(!rl_ssem_try_acquire(&all.at[1].shard, sem, 1)); /* one is free, but somebody waits */
	CHECK_EQ(rl_ssem_available(sem), 1);
	CHECK_EQ(rl_ssem_release(&all.at[1].shard, sem, 3), 0);
	rl_shard_turn(&all.at[0].shard);
	check_order("01");
	CHECK_EQ(rl_ssem_release(&all.at[1].shard, sem, 1), 0);
	rl_shard_turn(&all.at[0].shard);
	check_order("012");
	CHECK_EQ(rl_ssem_release(&all.at[1].shard, sem, 3), 0);
	rl_shard_turn(&all.at[0].shard);
	check_order("0123");
	CHECK_EQ(rl_ssem_release(&all.at[1].shard, sem, 3), -EOVERFLOW);
	CHECK_EQ(rl_ssem_release(&all.at[1].shard, sem, 2), 0);
	CHECK_EQ(rl_ssem_available(sem), 4);
	members_close(&all);
	put_away();
}

TEST(who_gives_up_lets_the_next_go)
{
	struct members all;
	sem = rl_ssem_new(4);
	uint64_t list[] = {3, 4, 1, 1, 5};
	memcpy(wants, list, sizeof list);
	for (int i = 0; i < 8; i++)
		dues[i] = i == 3 ? 0 : -1;
	open_tasks(&all, 5);
	check_order("0");
	CHECK_EQ(codes[3], -ETIMEDOUT);
	CHECK_EQ(codes[4], -EINVAL);
	struct rl_task *big = rl_task_at(&all.at[0].shard, 1);
	rl_wait_end(&all.at[0].shard, big, -RL_ECANCEL);
	rl_shard_turn(&all.at[0].shard);
	check_order("02");
	CHECK_EQ(codes[1], -RL_ECANCEL);
	CHECK_EQ(rl_ssem_available(sem), 0);
	CHECK_EQ(rl_ssem_release(&all.at[0].shard, sem, 4), 0);
	members_close(&all);
	put_away();
}

/* Shards are closed after they left the fleet: whoever still waits then cannot be told anything. */
TEST(closed_while_others_wait)
{
	struct members all;
	sem = rl_ssem_new(4);
	uint64_t list[] = {3, 4, 1};
	memcpy(wants, list, sizeof list);
	for (int i = 0; i < 8; i++)
		dues[i] = -1;
	open_tasks(&all, 2);
	begun[0] = begun[1] = false;
	wants[0] = 1;
	rl_task_new(&all.at[1].shard, 0);
	rl_shard_turn(&all.at[1].shard);
	check_order("0");
	members_close(&all);
	CHECK_EQ(rl_ssem_release(&all.at[0].shard, sem, 3), 0);
	put_away();
}

/* ---- on threads ---- */

struct worker {
	unsigned rounds, has;
	bool waits;
};

static struct worker workers[SHARDS][TASKS];
static _Atomic int held;
static _Atomic unsigned timeouts;
static struct rl_rand dice[SHARDS];
static int64_t limit_ns;

/* Take one to five of five, some with a deadline, which may have passed; check, give up the turn,
 * give back. */
static enum rl_ran work(struct member *m, struct rl_task *t)
{
	struct worker *w = &workers[m->index][t->slot];
	if (w->waits && t->result == 0)
		CHECK(atomic_fetch_add(&held, (int)w->has) + (int)w->has <= 5);
	if (w->waits && t->result < 0) {
		atomic_fetch_add(&timeouts, 1);
		w->has = 0;
	}
	w->waits = false;
	if (w->has > 0) {
		atomic_fetch_sub(&held, (int)w->has);
		CHECK_EQ(rl_ssem_release(&m->shard, sem, w->has), 0);
		w->has = 0;
	}
	if (w->rounds++ >= ROUNDS && (atomic_load(&timeouts) > 0 || m->shard.now_ns > limit_ns))
		return RL_RAN_ENDED;
	w->has = 1 + (unsigned)rl_rand_below(&dice[m->index], 5);
	uint64_t limited = rl_rand_below(&dice[m->index], 8);
	int64_t due = limited < 2 ? rl_shard_now(&m->shard) + (limited ? 100000 : 0) : -1;
	int got = rl_ssem_acquire(&m->shard, t, sem, w->has, due);
	w->waits = got == 0;
	if (got == 1) {
		CHECK(atomic_fetch_add(&held, (int)w->has) + (int)w->has <= 5);
		t->result = 0;
		rl_ready_last(&m->shard, t);
	}
	return RL_RAN_PARKED;
}

TEST(no_token_is_lost)
{
	struct members all;
	sem = rl_ssem_new(5);
	limit_ns = member_now(NULL) + PATIENCE_NS;
	memset(workers, 0, sizeof workers);
	members_open(&all, SHARDS, work);
	for (unsigned i = 0; i < SHARDS; i++) {
		rl_rand_seed(&dice[i], i);
		for (unsigned k = 0; k < TASKS; k++)
			rl_task_new(&all.at[i].shard, 0);
	}
	members_run(&all);
	CHECK_EQ(rl_ssem_available(sem), 5);
	CHECK_EQ(atomic_load(&held), 0);
	CHECK(atomic_load(&timeouts) > 0);
	members_close(&all);
	put_away();
}

int main(void)
{
	RUN(small_ones_do_not_overtake);
	RUN(who_gives_up_lets_the_next_go);
	RUN(closed_while_others_wait);
	RUN(no_token_is_lost);
	return FINISH();
}
