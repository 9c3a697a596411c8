/* SPDX-License-Identifier: MIT */
/*
 * deque: both ends, full and empty, positions that wrap round, a random walk against an array, and
 * an owner with eight thieves. deque_model_test has every order of a few operations.
 */
#include "base/deque.h"

#include "base/rand.h"
#include "check.h"
#include "torture.h"

enum { SIZE = RL_DEQUE_SIZE, THIEVES = 8 };

static int items[4 * SIZE];

static void *item(int i)
{
	return &items[i];
}

static void fill(struct rl_deque *d, int first, int n)
{
	for (int i = first; i < first + n; i++)
		CHECK(rl_deque_push(d, item(i)));
}

TEST(a_new_deque_is_empty)
{
	struct rl_deque d;
	rl_deque_init(&d);
	CHECK(rl_deque_pop(&d) == NULL);
	CHECK(rl_deque_take(&d) == NULL);
	CHECK(rl_deque_steal(&d) == NULL);
	CHECK_EQ(rl_deque_len(&d), 0);
}

TEST(the_owner_pops_the_newest)
{
	struct rl_deque d;
	rl_deque_init(&d);
	fill(&d, 0, 3);
	for (int i = 2; i >= 0; i--)
		CHECK(rl_deque_pop(&d) == item(i));
	CHECK(rl_deque_pop(&d) == NULL);
	CHECK_EQ(rl_deque_len(&d), 0);
}

TEST(thieves_and_take_get_the_oldest)
{
	struct rl_deque d;
	rl_deque_init(&d);
	fill(&d, 0, 4);
	CHECK(rl_deque_steal(&d) == item(0));
	CHECK(rl_deque_take(&d) == item(1));
	CHECK(rl_deque_steal(&d) == item(2));
	CHECK(rl_deque_take(&d) == item(3));
	CHECK(rl_deque_take(&d) == NULL);
	CHECK(rl_deque_steal(&d) == NULL);
	CHECK(rl_deque_pop(&d) == NULL);
}

TEST(a_full_deque_refuses_and_keeps_what_it_has)
{
	struct rl_deque d;
	rl_deque_init(&d);
	fill(&d, 0, SIZE);
	CHECK(!rl_deque_push(&d, item(SIZE)));
	CHECK_EQ(rl_deque_len(&d), SIZE);
	CHECK(rl_deque_steal(&d) == item(0));
	fill(&d, SIZE, 1);
	CHECK(!rl_deque_push(&d, item(SIZE + 1)));
	CHECK(rl_deque_pop(&d) == item(SIZE));
	fill(&d, SIZE + 1, 1);
	CHECK(!rl_deque_push(&d, item(SIZE + 2)));
	for (int i = 1; i < SIZE; i++)
		CHECK(rl_deque_take(&d) == item(i));
	CHECK(rl_deque_take(&d) == item(SIZE + 1));
	CHECK(rl_deque_take(&d) == NULL);
}

/* Whoever gets the last item, the owner goes on from there. */
TEST(the_last_item_is_one)
{
	struct rl_deque d;
	rl_deque_init(&d);
	for (int i = 0; i < 3 * SIZE; i++) {
		fill(&d, i, 1);
		void *got = i % 3 == 0 ? rl_deque_pop(&d) : i % 3 == 1 ? rl_deque_steal(&d)
			: rl_deque_take(&d);
		CHECK(got == item(i));
		CHECK_EQ(rl_deque_len(&d), 0);
		CHECK(rl_deque_pop(&d) == NULL);
	}
}

/* A random walk against an array; `first` is where the positions begin. */
static void walk(uint64_t first)
{
	struct rl_deque d;
	struct rl_rand r;
	void *model[SIZE];
	unsigned n = 0;
	rl_deque_init(&d);
	atomic_store(&d.top, first);
	atomic_store(&d.bottom, first);
	d.top_seen = first;
	rl_rand_seed(&r, 5);
	for (int step = 0; step < 20000; step++) {
		uint64_t what = rl_rand_below(&r, 8);
		void *new = item((int)rl_rand_below(&r, 4 * SIZE));
		if (what < 4) {
			CHECK_EQ(rl_deque_push(&d, new), n < SIZE);
			if (n < SIZE)
				model[n++] = new;
		} else if (what < 6) {
			CHECK(rl_deque_pop(&d) == (n ? model[n - 1] : NULL));
			n -= n > 0;
		} else {
			CHECK((what == 6 ? rl_deque_take(&d) : rl_deque_steal(&d)) == (n ? model[0] : NULL));
			n -= n > 0;
			memmove(model, model + 1, n * sizeof *model);
		}
		CHECK_EQ(rl_deque_len(&d), n);
	}
}

TEST(random_walk_against_an_array)
{
	walk(0);
}

TEST(positions_wrap_round)
{
	walk(UINT64_MAX - 3);
	walk(UINT32_MAX - 3);
	walk(INT64_MAX - 3);
}

/* The length is a hint to others: with bottom lowered by a pop under way it is not negative. */
TEST(the_length_is_clamped)
{
	struct rl_deque d;
	rl_deque_init(&d);
	atomic_store(&d.bottom, UINT64_MAX);
	CHECK_EQ(rl_deque_len(&d), 0);
	atomic_store(&d.bottom, SIZE + 1);
	CHECK_EQ(rl_deque_len(&d), SIZE);
}

struct robbery {
	_Alignas(RL_CACHE_LINE) struct rl_deque deque;
	struct torture_item *items;
	uint32_t count;
	atomic_bool over;
	atomic_uint stolen, lost;
};

/* Thieves may come late, so one is waited for. */
static void await_thief(struct robbery *r, time_t limit)
{
	while (atomic_load(&r->stolen) == 0 && rl_deque_len(&r->deque) > 0 && torture_time() < limit)
		sched_yield();
}

/* Push items, as many as there is time for, and get about half of them, from both ends. */
static void own(struct robbery *r)
{
	struct rl_rand rand;
	struct torture_rounds rounds = torture_rounds(r->count);
	time_t limit = torture_time() + 20;
	rl_rand_seed(&rand, 3);
	r->count = torture_round(&rounds);
	for (uint32_t i = 0; i < r->count;) {
		await_thief(r, limit);
		uint64_t what = rl_rand_below(&rand, 6);
		void *got = NULL;
		if (what >= 3) {
			got = what == 5 ? rl_deque_take(&r->deque) : rl_deque_pop(&r->deque);
		} else {
			r->items[i].number = i;
			if (rl_deque_push(&r->deque, &r->items[i]))
				r->count += ++i == r->count ? torture_round(&rounds) : 0;
			else if (what == 0)
				sched_yield();
		}
		if (got)
			torture_got(r->items, got);
	}
	for (void *got = rl_deque_pop(&r->deque); got; got = rl_deque_pop(&r->deque))
		torture_got(r->items, got);
	atomic_store(&r->over, true);
}

static void rob(struct robbery *r)
{
	while (!atomic_load_explicit(&r->over, memory_order_relaxed)) {
		void *got = rl_deque_steal(&r->deque);
		if (!got) {
			sched_yield();
		} else if (got == RL_DEQUE_LOST) {
			atomic_fetch_add_explicit(&r->lost, 1, memory_order_relaxed);
		} else {
			torture_got(r->items, got);
			atomic_fetch_add_explicit(&r->stolen, 1, memory_order_relaxed);
		}
	}
}

static void robber(void *arg, unsigned index)
{
	if (index == 0)
		own(arg);
	else
		rob(arg);
}

TEST(eight_thieves_and_each_item_once)
{
	static struct robbery r;
	r.count = torture_count(500000);
	r.items = torture_items(r.count);
	rl_deque_init(&r.deque);
	torture_run(1 + THIEVES, robber, &r);
	CHECK_EQ(torture_end(r.items, r.count), 0);
	CHECK_EQ(rl_deque_len(&r.deque), 0);
	CHECK(rl_deque_steal(&r.deque) == NULL);
	CHECK(atomic_load(&r.stolen) > 0);
	printf("    %u items, %u stolen, %u times lost\n", r.count, atomic_load(&r.stolen),
		atomic_load(&r.lost));
}

int main(void)
{
	RUN(a_new_deque_is_empty);
	RUN(the_owner_pops_the_newest);
	RUN(thieves_and_take_get_the_oldest);
	RUN(a_full_deque_refuses_and_keeps_what_it_has);
	RUN(the_last_item_is_one);
	RUN(random_walk_against_an_array);
	RUN(positions_wrap_round);
	RUN(the_length_is_clamped);
	RUN(eight_thieves_and_each_item_once);
	return FINISH();
}
