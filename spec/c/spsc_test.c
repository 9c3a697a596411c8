/* SPDX-License-Identifier: MIT */
/*
 * spsc: order, full and empty, many at once, positions that wrap round, and two threads at full
 * speed. spsc_model_test has every order of a few operations.
 */
#include "base/spsc.h"

#include "base/rand.h"
#include "check.h"
#include "torture.h"

enum { ITEMS = 64 };

static int items[ITEMS];

static void *item(uint64_t i)
{
	return &items[i % ITEMS];
}

/* A ring whose positions begin at `first`. */
static struct rl_spsc *ring_at(uint32_t capacity, uint64_t first)
{
	struct rl_spsc *q = rl_spsc_new(capacity);
	atomic_store(&q->head, first);
	atomic_store(&q->tail, first);
	q->head_seen = q->tail_seen = first;
	return q;
}

TEST(a_new_ring_is_empty)
{
	struct rl_spsc *q = rl_spsc_new(4);
	void *got = q;
	CHECK_EQ((uintptr_t)q % RL_CACHE_LINE, 0);
	CHECK(rl_spsc_empty(q));
	CHECK_EQ(rl_spsc_len(q), 0);
	CHECK(!rl_spsc_pop(q, &got));
	CHECK(got == q);
	CHECK_EQ(rl_spsc_pop_many(q, &got, 1), 0);
	rl_spsc_free(q);
	rl_spsc_free(NULL);
}

TEST(first_in_first_out_until_full)
{
	for (uint32_t capacity = 1; capacity <= 16; capacity *= 2) {
		struct rl_spsc *q = rl_spsc_new(capacity);
		void *got = NULL;
		for (uint32_t i = 0; i < capacity; i++) {
			CHECK(rl_spsc_push(q, item(i)));
			CHECK_EQ(rl_spsc_len(q), i + 1);
		}
		CHECK(!rl_spsc_push(q, item(capacity)));
		CHECK(!rl_spsc_empty(q));
		for (uint32_t i = 0; i < capacity; i++) {
			CHECK(rl_spsc_pop(q, &got));
			CHECK(got == item(i));
		}
		CHECK(!rl_spsc_pop(q, &got));
		CHECK(rl_spsc_push(q, NULL)); /* any pointer can be an item */
		CHECK(rl_spsc_pop(q, &got) && got == NULL);
		rl_spsc_free(q);
	}
}

TEST(many_are_popped_at_once)
{
	struct rl_spsc *q = rl_spsc_new(4);
	void *got[8] = { NULL };
	for (uint64_t i = 0; i < 3; i++)
		CHECK(rl_spsc_push(q, item(i)));
	CHECK_EQ(rl_spsc_pop_many(q, got, 0), 0);
	CHECK_EQ(rl_spsc_pop_many(q, got, 2), 2);
	CHECK(got[0] == item(0) && got[1] == item(1) && got[2] == NULL);
	for (uint64_t i = 3; i < 6; i++)
		CHECK(rl_spsc_push(q, item(i)));
	CHECK_EQ(rl_spsc_pop_many(q, got, 8), 4);
	for (uint64_t i = 0; i < 4; i++)
		CHECK(got[i] == item(2 + i));
	CHECK_EQ(rl_spsc_pop_many(q, got, 8), 0);
	rl_spsc_free(q);
}

/* Random pushes and pops; what is in the ring are the numbers [out, in). */
static void walk(uint32_t capacity, uint64_t first)
{
	struct rl_spsc *q = ring_at(capacity, first);
	struct rl_rand r;
	uint64_t in = 0, out = 0;
	void *got[ITEMS];
	rl_rand_seed(&r, capacity);
	for (int step = 0; step < 10000; step++) {
		uint64_t what = rl_rand_below(&r, 4);
		if (what < 2) {
			CHECK_EQ(rl_spsc_push(q, item(in)), in - out < capacity);
			in += in - out < capacity;
		} else {
			unsigned max = what == 2 ? 1 : (unsigned)rl_rand_below(&r, 2 * capacity);
			unsigned n = what == 2 ? rl_spsc_pop(q, got) : rl_spsc_pop_many(q, got, max);
			CHECK_EQ(n, in - out < max ? in - out : max);
			for (unsigned i = 0; i < n; i++)
				CHECK(got[i] == item(out++));
		}
		CHECK_EQ(rl_spsc_len(q), in - out);
	}
	rl_spsc_free(q);
}

TEST(random_walk)
{
	for (uint32_t capacity = 1; capacity <= 16; capacity *= 2)
		walk(capacity, 0);
}

TEST(positions_wrap_round)
{
	for (uint32_t capacity = 1; capacity <= 16; capacity *= 2) {
		walk(capacity, UINT64_MAX - 5);
		walk(capacity, UINT32_MAX - 5);
		walk(capacity, INT64_MAX - 5);
	}
}

struct stream {
	struct rl_spsc *q;
	struct torture_item *items;
	uint32_t count, disorder;
};

static void produce(struct stream *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		s->items[i].number = i;
		while (!rl_spsc_push(s->q, &s->items[i]))
			sched_yield();
	}
}

/* By turns one at a time and many. */
static void consume(struct stream *s)
{
	void *got[8];
	for (uint32_t i = 0, round = 0; i < s->count; round++) {
		unsigned n = round % 3 == 0 ? rl_spsc_pop_many(s->q, got, 8) : rl_spsc_pop(s->q, got);
		if (n == 0)
			sched_yield();
		for (unsigned k = 0; k < n; k++, i++) {
			s->disorder += got[k] != &s->items[i];
			torture_got(s->items, got[k]);
		}
	}
}

static void stream_end(void *arg, unsigned index)
{
	if (index == 0)
		produce(arg);
	else
		consume(arg);
}

static void stream(uint32_t capacity, uint32_t count)
{
	struct stream s = { rl_spsc_new(capacity), torture_items(count), count, 0 };
	torture_run(2, stream_end, &s);
	CHECK_EQ(s.disorder, 0);
	CHECK_EQ(torture_end(s.items, count), 0);
	CHECK(rl_spsc_empty(s.q));
	rl_spsc_free(s.q);
}

static void streams(uint32_t capacity, uint32_t count)
{
	struct torture_rounds rounds = torture_rounds(count);
	for (uint32_t n = torture_round(&rounds); n > 0; n = torture_round(&rounds))
		stream(capacity, n);
}

TEST(two_threads_and_each_item_once_in_order)
{
	uint32_t count = torture_count(300000);
	streams(256, count);
	streams(8, count);
	streams(1, count / 4 + 1);
}

int main(void)
{
	RUN(a_new_ring_is_empty);
	RUN(first_in_first_out_until_full);
	RUN(many_are_popped_at_once);
	RUN(random_walk);
	RUN(positions_wrap_round);
	RUN(two_threads_and_each_item_once_in_order);
	return FINISH();
}
