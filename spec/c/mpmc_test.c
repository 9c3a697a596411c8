/* SPDX-License-Identifier: MIT */
/*
 * mpmc: order, every small capacity exactly, positions that wrap round, and producers and consumers
 * on threads. mpmc_model_test has every order of a few operations.
 */
#include "base/mpmc.c"

#include "base/rand.h"
#include "check.h"
#include "torture.h"

#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct rl_mpmc_item item_of(uint64_t i)
{
	return (struct rl_mpmc_item){{ i, ~i, i * i }};
}

static bool push(struct rl_mpmc *q, uint64_t i)
{
	struct rl_mpmc_item item = item_of(i);
	return rl_mpmc_push(q, &item);
}

/* The value popped, which must be whole; -1 when empty. */
static int64_t pop(struct rl_mpmc *q)
{
	struct rl_mpmc_item item, want;
	if (!rl_mpmc_pop(q, &item))
		return -1;
	want = item_of(item.word[0]);
	CHECK(memcmp(&item, &want, sizeof item) == 0);
	return (int64_t)item.word[0];
}

/* A queue whose positions begin at `first`. */
static void init_at(struct rl_mpmc *q, uint32_t capacity, uint64_t first)
{
	CHECK_EQ(rl_mpmc_init(q, capacity), 0);
	atomic_store(&q->head, first);
	atomic_store(&q->tail, first);
	for (uint64_t i = 0; i <= q->mask; i++) {
		uint64_t position = first + ((i - first) & q->mask);
		atomic_store(&q->slot[i].turn, position & ~q->mask);
	}
}

TEST(a_new_queue_is_empty)
{
	struct rl_mpmc q = { 0 };
	struct rl_mpmc_item item = item_of(3), was = item;
	rl_mpmc_term(&q);
	CHECK_EQ(rl_mpmc_init(&q, 4), 0);
	CHECK_EQ((uintptr_t)q.slot % RL_CACHE_LINE, 0);
	CHECK(!rl_mpmc_pop(&q, &item));
	CHECK(memcmp(&item, &was, sizeof item) == 0);
	CHECK_EQ(rl_mpmc_len(&q), 0);
	rl_mpmc_term(&q);
	rl_mpmc_term(&q);
}

TEST(every_capacity_is_exact_and_first_in_first_out)
{
	for (uint32_t capacity = 1; capacity <= 17; capacity++) {
		struct rl_mpmc q;
		uint64_t in = 0, out = 0;
		CHECK_EQ(rl_mpmc_init(&q, capacity), 0);
		for (unsigned round = 0; round < 3 * capacity; round++) {
			while (push(&q, in))
				in++;
			CHECK_EQ(in - out, capacity);
			CHECK_EQ(rl_mpmc_len(&q), capacity);
			for (unsigned i = 0; i <= round % capacity; i++)
				CHECK_EQ(pop(&q), out++);
		}
		while (out < in)
			CHECK_EQ(pop(&q), out++);
		CHECK_EQ(pop(&q), -1);
		CHECK_EQ(rl_mpmc_len(&q), 0);
		rl_mpmc_term(&q);
	}
}

static void walk(uint32_t capacity, uint64_t first)
{
	struct rl_mpmc q;
	struct rl_rand r;
	uint64_t in = 0, out = 0;
	init_at(&q, capacity, first);
	rl_rand_seed(&r, capacity);
	for (int step = 0; step < 5000; step++) {
		if (rl_rand_below(&r, 2)) {
			CHECK_EQ(push(&q, in), in - out < capacity);
			in += in - out < capacity;
		} else {
			CHECK_EQ(pop(&q), in == out ? -1 : (int64_t)out);
			out += in > out;
		}
		CHECK_EQ(rl_mpmc_len(&q), in - out);
	}
	rl_mpmc_term(&q);
}

TEST(positions_wrap_round)
{
	for (uint32_t capacity = 1; capacity <= 9; capacity++) {
		walk(capacity, 0);
		walk(capacity, UINT32_MAX - 5);
		walk(capacity, INT64_MAX - 10000);
	}
}

TEST(a_closed_queue_takes_no_more_and_gives_what_it_has)
{
	struct rl_mpmc q;
	uint64_t at;
	for (uint32_t capacity = 2; capacity <= 5; capacity++) {
		CHECK_EQ(rl_mpmc_init(&q, capacity), 0);
		CHECK(push(&q, 1));
		struct rl_mpmc_item *half = rl_mpmc_push_begin(&q, &at);
		rl_mpmc_close(&q);
		rl_mpmc_close(&q);
		CHECK(!push(&q, 3));
		CHECK_EQ(rl_mpmc_len(&q), 2);
		CHECK_EQ(pop(&q), 1);
		CHECK_EQ(pop(&q), -1);
		CHECK(!rl_mpmc_is_drained(&q));
		half->word[0] = 2;
		half->word[1] = half->word[2] = 0;
		rl_mpmc_push_end(&q, at);
		CHECK(rl_mpmc_pop_begin(&q, &at) == half);
		CHECK(rl_mpmc_is_drained(&q));
		rl_mpmc_pop_end(&q, at);
		CHECK_EQ(rl_mpmc_len(&q), 0);
		CHECK(!push(&q, 4));
		rl_mpmc_term(&q);
	}
}

/* Pages of this process in memory. */
static long resident(void)
{
	long all, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &all, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages;
}

TEST(the_largest_costs_nothing_until_used)
{
	if (SANITIZED)
		SKIP("a sanitizer's shadow memory is used at once");
	struct rl_mpmc q;
	long before = resident();
	CHECK_EQ(rl_mpmc_init(&q, RL_MPMC_CAPACITY_MAX), 0);
	for (uint64_t i = 0; i < 1000; i++)
		CHECK(push(&q, i));
	CHECK(before == 0 || (resident() - before) * sysconf(_SC_PAGESIZE) < 8 << 20);
	CHECK_EQ(rl_mpmc_len(&q), 1000);
	rl_mpmc_term(&q);
}

enum { PRODUCERS = 4, CONSUMERS = 4 };

struct market {
	struct rl_mpmc q;
	unsigned producers;
	uint32_t each, capacity;
	struct torture_item *items;
	atomic_uint popped;             /* in all */
	atomic_int held, held_max;      /* at least in the queue */
	atomic_uint disorder;
};

/* A value is counted as held after it was pushed and until somebody begins to pop, so the count is
 * never more than what the queue holds. */
static void sell(struct market *m, unsigned producer)
{
	for (uint32_t i = 0; i < m->each; i++) {
		uint32_t number = producer * m->each + i;
		m->items[number].number = number;
		struct rl_mpmc_item item = {{ (uintptr_t)&m->items[number], producer, i }};
		while (!rl_mpmc_push(&m->q, &item))
			sched_yield();
		int held = atomic_fetch_add(&m->held, 1) + 1;
		int max = atomic_load(&m->held_max);
		while (held > max && !atomic_compare_exchange_weak(&m->held_max, &max, held))
			;
	}
}

static void buy(struct market *m)
{
	uint64_t next[PRODUCERS] = { 0 };
	uint32_t all = m->producers * m->each;
	while (atomic_load(&m->popped) < all) {
		struct rl_mpmc_item item;
		atomic_fetch_sub(&m->held, 1);
		if (!rl_mpmc_pop(&m->q, &item)) {
			atomic_fetch_add(&m->held, 1);
			sched_yield();
			continue;
		}
		atomic_fetch_add(&m->popped, 1);
		torture_got(m->items, (void *)(uintptr_t)item.word[0]);
		if (item.word[2] < next[item.word[1]])
			atomic_fetch_add(&m->disorder, 1);
		next[item.word[1]] = item.word[2] + 1;
	}
}

static void trader(void *arg, unsigned index)
{
	struct market *m = arg;
	if (index < m->producers)
		sell(m, index);
	else
		buy(m);
}

static void market(uint32_t capacity, unsigned producers, unsigned consumers, uint32_t count)
{
	static struct market m;
	m = (struct market){ .producers = producers, .each = count / producers + 1 };
	uint32_t all = m.each * producers;
	m.items = torture_items(all);
	CHECK_EQ(rl_mpmc_init(&m.q, capacity), 0);
	torture_run(producers + consumers, trader, &m);
	CHECK_EQ(torture_end(m.items, all), 0);
	CHECK_EQ(atomic_load(&m.popped), all);
	CHECK_EQ(atomic_load(&m.disorder), 0);
	CHECK(atomic_load(&m.held_max) <= (int)capacity);
	CHECK_EQ(rl_mpmc_len(&m.q), 0);
	CHECK(m.q.head == all && m.q.tail == all);
	rl_mpmc_term(&m.q);
}

static void markets(uint32_t capacity, unsigned producers, unsigned consumers)
{
	struct torture_rounds rounds = torture_rounds(torture_count(100000));
	for (uint32_t n = torture_round(&rounds); n > 0; n = torture_round(&rounds))
		market(capacity, producers, consumers, n);
}

TEST(producers_and_consumers_and_each_value_once)
{
	markets(64, PRODUCERS, CONSUMERS);
	markets(3, PRODUCERS, CONSUMERS);
	markets(1, PRODUCERS, CONSUMERS);
	markets(100, 1, CONSUMERS);
	markets(5, PRODUCERS, 1);
	markets(2, 1, 1);
}

/* One sleeps when it finds nothing; the barriers see to it that the other wakes it. */
struct pair {
	struct rl_mpmc q;
	uint32_t first, count;
	atomic_bool waiting[2];  /* 0: for room, 1: for a value */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned slept;
};

/* As mpmc.h says: say so, fence, try again, sleep. */
static void wait_until(struct pair *p, unsigned side, struct rl_mpmc_item *item)
{
	pthread_mutex_lock(&p->lock);
	for (;;) {
		atomic_store_explicit(&p->waiting[side], true, memory_order_relaxed);
		RL_FENCE(seq_cst);
		if (side ? rl_mpmc_pop(&p->q, item) : rl_mpmc_push(&p->q, item))
			break;
		p->slept++;
		pthread_cond_wait(&p->wake, &p->lock);
	}
	atomic_store_explicit(&p->waiting[side], false, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
}

static void wake(struct pair *p, unsigned side)
{
	if (!atomic_load_explicit(&p->waiting[side], memory_order_relaxed))
		return;
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static void pair_side(void *arg, unsigned side)
{
	struct pair *p = arg;
	for (uint32_t i = p->first; i < p->first + p->count; i++) {
		struct rl_mpmc_item item = item_of(i);
		if (!(side ? rl_mpmc_pop(&p->q, &item) : rl_mpmc_push(&p->q, &item)))
			wait_until(p, side, &item);
		CHECK_EQ(item.word[0], i);
		wake(p, !side);
	}
}

TEST(who_waits_is_woken)
{
	static struct pair p = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
	/* Nearly each one sleeps. */
	struct torture_rounds rounds = torture_rounds(torture_count(1000000) / 20);
	CHECK_EQ(rl_mpmc_init(&p.q, 3), 0);
	for (p.count = torture_round(&rounds); p.count > 0; p.count = torture_round(&rounds)) {
		torture_run(2, pair_side, &p);
		p.first += p.count;
		CHECK_EQ(rl_mpmc_len(&p.q), 0);
	}
	printf("    %u values, slept %u times\n", p.first, p.slept);
	rl_mpmc_term(&p.q);
}

int main(void)
{
	RUN(a_new_queue_is_empty);
	RUN(every_capacity_is_exact_and_first_in_first_out);
	RUN(positions_wrap_round);
	RUN(a_closed_queue_takes_no_more_and_gives_what_it_has);
	RUN(the_largest_costs_nothing_until_used);
	RUN(producers_and_consumers_and_each_value_once);
	RUN(who_waits_is_woken);
	return FINISH();
}
