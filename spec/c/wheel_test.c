/* SPDX-License-Identifier: MIT */
/*
 * wheel: the contract of the header, case by case, then a random walk against a model that knows
 * nothing of levels: an array of timers, each with its deadline and the order in which it was set.
 */
#include "base/wheel.h"

#include "base/rand.h"
#include "check.h"

#include <stdlib.h>

#define TICK ((int64_t)RL_WHEEL_TICK_NS)
#define LEVELS 8 /* the most advances that may pass, at rl_wheel_next, without a timer fired */

enum { TIMERS = 8 };

struct fixture {
	struct rl_wheel *w;
	struct rl_timer t[TIMERS];
	struct rl_list due;
};

static void setup(struct fixture *f, int64_t now_ns)
{
	f->w = rl_wheel_new(now_ns);
	rl_list_init(&f->due);
	for (int i = 0; i < TIMERS; i++)
		rl_timer_init(&f->t[i]);
}

static void teardown(struct fixture *f)
{
	rl_wheel_free(f->w);
}

/* The number of the timer that fired first and was not taken yet, -1 for none. */
static int fired(struct fixture *f)
{
	struct rl_list *l = rl_list_pop(&f->due);
	return l ? (int)(rl_container(l, struct rl_timer, link) - f->t) : -1;
}

static int64_t round_up(int64_t ns)
{
	return ns > INT64_MAX - TICK ? INT64_MAX : (ns + TICK - 1) / TICK * TICK;
}

TEST(an_empty_wheel_is_quiet)
{
	struct fixture f;
	setup(&f, 12345);
	CHECK_EQ(rl_wheel_next(f.w), -1);
	CHECK_EQ(rl_wheel_len(f.w), 0);
	rl_wheel_advance(f.w, 1000 * TICK, &f.due);
	CHECK(rl_list_empty(&f.due));
	CHECK_EQ(rl_wheel_next(f.w), -1);
	rl_wheel_free(NULL);
	teardown(&f);
}

TEST(never_early_and_at_most_a_tick_late)
{
	const int64_t deadlines[] = { 1, TICK - 1, TICK, TICK + 1, 63 * TICK, 64 * TICK, 64 * TICK + 1,
		4096 * TICK - 1, 4096 * TICK, 1000000007 * TICK + 5, (INT64_MAX / TICK - 2) * TICK };
	for (unsigned i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
		struct fixture f;
		setup(&f, 0);
		rl_wheel_set(f.w, &f.t[0], deadlines[i]);
		CHECK_EQ(f.t[0].deadline_ns, deadlines[i]);
		CHECK_EQ(rl_wheel_next(f.w), round_up(deadlines[i]));
		rl_wheel_advance(f.w, deadlines[i] - 1, &f.due);
		CHECK_EQ(fired(&f), -1);
		rl_wheel_advance(f.w, round_up(deadlines[i]) - 1, &f.due);
		CHECK_EQ(fired(&f), -1);
		CHECK_EQ(rl_wheel_len(f.w), 1);
		rl_wheel_advance(f.w, round_up(deadlines[i]), &f.due);
		CHECK_EQ(fired(&f), 0);
		CHECK_EQ(rl_wheel_len(f.w), 0);
		CHECK_EQ(rl_wheel_next(f.w), -1);
		teardown(&f);
	}
}

TEST(a_passed_deadline_fires_at_the_next_advance)
{
	const int64_t now = 1000 * TICK + TICK / 2;
	const int64_t deadlines[] = { INT64_MIN, -1, 0, 1, now - 3 * TICK, now - 1, now };
	for (unsigned i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
		struct fixture f;
		setup(&f, now);
		rl_wheel_set(f.w, &f.t[0], deadlines[i]);
		CHECK_EQ(rl_wheel_len(f.w), 1);
		CHECK(rl_wheel_next(f.w) >= 0 && rl_wheel_next(f.w) <= now);
		rl_wheel_advance(f.w, now, &f.due);
		CHECK_EQ(fired(&f), 0);
		CHECK_EQ(rl_wheel_next(f.w), -1);
		teardown(&f);
	}
}

TEST(the_end_of_time_is_safe)
{
	struct fixture f;
	setup(&f, 5);
	rl_wheel_set(f.w, &f.t[0], INT64_MAX);
	rl_wheel_set(f.w, &f.t[1], INT64_MAX - 1);
	rl_wheel_set(f.w, &f.t[2], 7);
	rl_wheel_advance(f.w, TICK, &f.due);
	CHECK_EQ(fired(&f), 2);
	rl_wheel_advance(f.w, INT64_MAX - 1, &f.due);
	CHECK_EQ(fired(&f), -1);
	CHECK_EQ(rl_wheel_next(f.w), INT64_MAX);
	rl_wheel_advance(f.w, INT64_MAX, &f.due);
	CHECK_EQ(fired(&f), 1);
	CHECK_EQ(fired(&f), 0);
	rl_wheel_set(f.w, &f.t[0], INT64_MAX);
	CHECK_EQ(rl_wheel_len(f.w), 1);
	rl_wheel_advance(f.w, INT64_MAX, &f.due);
	CHECK_EQ(fired(&f), 0);
	CHECK_EQ(rl_wheel_len(f.w), 0);
	teardown(&f);
}

TEST(time_does_not_run_backwards)
{
	struct fixture f;
	setup(&f, 100 * TICK);
	rl_wheel_set(f.w, &f.t[0], 110 * TICK);
	rl_wheel_advance(f.w, 50 * TICK, &f.due);
	rl_wheel_set(f.w, &f.t[1], 60 * TICK); /* passed, whatever the last advance said */
	rl_wheel_advance(f.w, 50 * TICK, &f.due);
	CHECK_EQ(fired(&f), 1);
	CHECK_EQ(fired(&f), -1);
	rl_wheel_advance(f.w, 110 * TICK, &f.due);
	CHECK_EQ(fired(&f), 0);
	teardown(&f);
}

TEST(one_advance_fires_in_order_of_deadline)
{
	struct fixture f;
	setup(&f, 0);
	const int64_t deadlines[TIMERS] = { 5000 * TICK, 70 * TICK + 9, 70 * TICK + 3, 64 * TICK, 2,
		70 * TICK + 3, 1, 70 * TICK };
	for (int i = 0; i < TIMERS; i++)
		rl_wheel_set(f.w, &f.t[i], deadlines[i]);
	rl_wheel_advance(f.w, 10000 * TICK, &f.due);
	const int want[] = { 6, 4, 3, 7, 2, 5, 1, 0, -1 };
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK_EQ(fired(&f), want[i]);
	teardown(&f);
}

/* One timer is set from far away and cascades, the other is set when the tick is near. */
TEST(set_order_survives_cascading)
{
	struct fixture f;
	setup(&f, 0);
	rl_wheel_set(f.w, &f.t[3], 4100 * TICK);
	rl_wheel_advance(f.w, 4000 * TICK, &f.due);
	rl_wheel_set(f.w, &f.t[2], 4100 * TICK);
	rl_wheel_advance(f.w, 4097 * TICK, &f.due);
	rl_wheel_set(f.w, &f.t[1], 4100 * TICK);
	rl_wheel_advance(f.w, 4099 * TICK, &f.due);
	rl_wheel_set(f.w, &f.t[0], 4100 * TICK);
	rl_wheel_advance(f.w, 4100 * TICK, &f.due);
	for (int want = 3; want >= -1; want--)
		CHECK_EQ(fired(&f), want);
	teardown(&f);
}

TEST(late_timers_come_first_in_order)
{
	struct fixture f;
	setup(&f, 0);
	rl_wheel_set(f.w, &f.t[0], 101 * TICK);
	rl_wheel_advance(f.w, 100 * TICK, &f.due);
	rl_wheel_set(f.w, &f.t[1], 90 * TICK);
	rl_wheel_set(f.w, &f.t[2], 80 * TICK);
	rl_wheel_set(f.w, &f.t[3], 90 * TICK);
	CHECK_EQ(rl_wheel_len(f.w), 4);
	rl_wheel_advance(f.w, 200 * TICK, &f.due);
	const int want[] = { 2, 1, 3, 0, -1 };
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK_EQ(fired(&f), want[i]);
	teardown(&f);
}

TEST(cancel_is_idempotent_and_quiets_the_wheel)
{
	struct fixture f;
	setup(&f, 0);
	rl_wheel_cancel(f.w, &f.t[0]);
	rl_wheel_set(f.w, &f.t[0], 100 * TICK);
	rl_wheel_set(f.w, &f.t[1], 100 * TICK);
	rl_wheel_cancel(f.w, &f.t[0]);
	rl_wheel_cancel(f.w, &f.t[0]);
	CHECK(!rl_timer_is_set(&f.t[0]));
	CHECK_EQ(rl_wheel_len(f.w), 1);
	CHECK_EQ(rl_wheel_next(f.w), 100 * TICK);
	rl_wheel_cancel(f.w, &f.t[1]);
	CHECK_EQ(rl_wheel_len(f.w), 0);
	CHECK_EQ(rl_wheel_next(f.w), -1);
	rl_wheel_advance(f.w, 200 * TICK, &f.due);
	CHECK_EQ(fired(&f), -1);
	teardown(&f);
}

TEST(cancel_takes_a_timer_off_due)
{
	struct fixture f;
	setup(&f, TICK / 2);
	rl_wheel_set(f.w, &f.t[0], TICK / 2); /* late, in the tick that is not over */
	rl_wheel_set(f.w, &f.t[1], TICK);
	rl_wheel_set(f.w, &f.t[2], 2 * TICK);
	rl_wheel_set(f.w, &f.t[3], 500 * TICK);
	rl_wheel_advance(f.w, 3 * TICK, &f.due);
	rl_wheel_cancel(f.w, &f.t[1]);
	CHECK_EQ(rl_wheel_len(f.w), 1);
	CHECK_EQ(fired(&f), 0);
	rl_wheel_cancel(f.w, &f.t[2]);
	CHECK_EQ(fired(&f), -1);
	CHECK_EQ(rl_wheel_len(f.w), 1);
	CHECK_EQ(rl_wheel_next(f.w), 500 * TICK);
	teardown(&f);
}

TEST(a_fired_timer_may_be_set_again)
{
	struct fixture f;
	setup(&f, 0);
	for (int64_t now = TICK; now <= 1000 * TICK; now += TICK) {
		rl_wheel_set(f.w, &f.t[0], now);
		rl_wheel_advance(f.w, now, &f.due);
		CHECK_EQ(fired(&f), 0);
	}
	CHECK_EQ(rl_wheel_len(f.w), 0);
	teardown(&f);
}

TEST(free_unlinks_what_is_set)
{
	struct fixture f;
	setup(&f, TICK);
	for (int i = 0; i < TIMERS; i++)
		rl_wheel_set(f.w, &f.t[i], (int64_t)1 << i * 7);
	teardown(&f);
	for (int i = 0; i < TIMERS; i++)
		CHECK(!rl_timer_is_set(&f.t[i]));
}

/* Sleeping from next to next reaches each timer on time, in at most one step a level. */
TEST(sleeping_until_next_makes_progress)
{
	enum { MANY = 300 };
	static struct rl_timer timers[MANY];
	struct fixture f;
	struct rl_rand r;
	setup(&f, 777);
	rl_rand_seed(&r, 5);
	for (int i = 0; i < MANY; i++) {
		rl_timer_init(&timers[i]);
		rl_wheel_set(f.w, &timers[i], (int64_t)(rl_rand_next(&r) >> (1 + rl_rand_below(&r, 62))));
	}
	int left = MANY, idle = 0;
	int64_t now = 777;
	while (left > 0 && idle <= LEVELS) {
		int64_t next = rl_wheel_next(f.w);
		CHECK(next > now || (now == 777 && next >= 0));
		now = next > now ? next : now;
		rl_wheel_advance(f.w, now, &f.due);
		idle = rl_list_empty(&f.due) ? idle + 1 : 0;
		for (struct rl_list *l = rl_list_pop(&f.due); l; l = rl_list_pop(&f.due), left--) {
			int64_t deadline = rl_container(l, struct rl_timer, link)->deadline_ns;
			CHECK(deadline <= now && round_up(deadline) >= (now == 777 ? 0 : now));
		}
	}
	CHECK_EQ(left, 0);
	teardown(&f);
}

TEST(many_in_one_tick_come_out_sorted)
{
	enum { MANY = 5000 };
	static struct rl_timer timers[MANY];
	struct fixture f;
	struct rl_rand r;
	setup(&f, 0);
	rl_rand_seed(&r, 6);
	for (int i = 0; i < MANY; i++) {
		rl_timer_init(&timers[i]);
		rl_wheel_set(f.w, &timers[i], 90 * TICK + 1 + (int64_t)rl_rand_below(&r, 1000));
	}
	rl_wheel_advance(f.w, 91 * TICK, &f.due);
	const struct rl_timer *last = NULL;
	int n = 0;
	for (struct rl_list *l = rl_list_pop(&f.due); l; l = rl_list_pop(&f.due), n++) {
		const struct rl_timer *t = rl_container(l, struct rl_timer, link);
		CHECK(!last || last->deadline_ns < t->deadline_ns
			|| (last->deadline_ns == t->deadline_ns && last < t));
		last = t;
	}
	CHECK_EQ(n, MANY);
	CHECK_EQ(rl_wheel_len(f.w), 0);
	teardown(&f);
}

/* The model. */

enum { WALKERS = 200 };
enum place { IDLE, SET, DUE };

struct walker {
	struct rl_timer timer;
	enum place place;
	bool late;
	int64_t deadline_ns; /* what was asked for */
	int64_t key_ns;      /* what orders it: a late one counts as no later than the last tick */
	uint64_t seq;
};

struct walk {
	struct rl_wheel *w;
	struct rl_list due;
	struct rl_rand rand;
	int64_t now_ns;
	uint64_t seq;
	struct walker walker[WALKERS];
};

static bool is_due(const struct walker *k, int64_t now_ns)
{
	return k->place == SET && (k->late || round_up(k->deadline_ns) <= now_ns);
}

/* Fires before `b` does: late ones first, then by deadline, then in the order set. */
static bool is_before(const struct walker *a, const struct walker *b)
{
	if (a->late != b->late)
		return a->late;
	if (a->key_ns != b->key_ns)
		return a->key_ns < b->key_ns;
	return a->seq < b->seq;
}

static int64_t later(int64_t ns, int64_t distance_ns)
{
	return distance_ns > 0 && ns > INT64_MAX - distance_ns ? INT64_MAX : ns + distance_ns;
}

/* Any distance from 1 ns to centuries, each order of magnitude alike; sometimes in the past. */
static int64_t draw_distance(struct rl_rand *r)
{
	int64_t d = (int64_t)(rl_rand_next(r) >> (2 + rl_rand_below(r, 61)));
	if (rl_rand_below(r, 3) == 0)
		d = d / TICK * TICK;
	return rl_rand_below(r, 8) == 0 ? -d : d;
}

static int64_t draw_deadline(struct walk *k)
{
	const struct walker *other = &k->walker[rl_rand_below(&k->rand, WALKERS)];
	if (rl_rand_below(&k->rand, 64) == 0)
		return INT64_MAX;
	if (rl_rand_below(&k->rand, 4) == 0)
		return k->now_ns;
	if (other->place == SET && rl_rand_below(&k->rand, 2) == 0) /* the same tick as another */
		return later(other->deadline_ns, (int64_t)rl_rand_below(&k->rand, 3));
	return later(k->now_ns, draw_distance(&k->rand));
}

static void walk_set(struct walk *k, struct walker *one)
{
	one->deadline_ns = draw_deadline(k);
	one->late = one->deadline_ns <= k->now_ns;
	one->key_ns = one->deadline_ns;
	if (one->late && one->key_ns > k->now_ns / TICK * TICK)
		one->key_ns = k->now_ns / TICK * TICK;
	one->seq = ++k->seq;
	one->place = SET;
	rl_wheel_set(k->w, &one->timer, one->deadline_ns);
	CHECK_EQ(one->timer.deadline_ns, one->key_ns);
}

static void walk_cancel(struct walk *k, struct walker *one)
{
	rl_wheel_cancel(k->w, &one->timer);
	one->place = IDLE;
	CHECK(!rl_timer_is_set(&one->timer));
}

/* The instant that the wheel may not sleep past: the first deadline rounded up; -1 for none. */
static int64_t walk_next(const struct walk *k)
{
	int64_t first = -1;
	for (int i = 0; i < WALKERS; i++) {
		const struct walker *one = &k->walker[i];
		int64_t at = one->late ? k->now_ns : round_up(one->deadline_ns);
		if (one->place == SET && (first < 0 || at < first))
			first = at;
	}
	return first;
}

static void walk_advance(struct walk *k, int64_t now_ns)
{
	const struct rl_list *before = k->due.prev; /* `due` may hold what an earlier advance fired */
	rl_wheel_advance(k->w, now_ns, &k->due);
	k->now_ns = now_ns;
	const struct walker *last = NULL;
	for (const struct rl_list *l = before->next; l != &k->due; l = l->next) {
		struct walker *one = rl_container(l, struct walker, timer.link);
		CHECK(is_due(one, now_ns));
		CHECK(one->deadline_ns <= now_ns);
		CHECK(!last || is_before(last, one));
		one->place = DUE;
		last = one;
	}
	for (int i = 0; i < WALKERS; i++)
		CHECK(!is_due(&k->walker[i], now_ns));
}

/* Advance by any distance, or to next, or to one ns short of it. */
static void walk_on(struct walk *k)
{
	int64_t to = rl_wheel_next(k->w);
	uint64_t how = rl_rand_below(&k->rand, 8);
	if (how < 3 || to < 0)
		to = later(k->now_ns,
			(int64_t)(rl_rand_next(&k->rand) >> (22 + rl_rand_below(&k->rand, 42))));
	else if (how == 3 && to > 0)
		to--;
	if (to == INT64_MAX)
		to = k->now_ns;
	walk_advance(k, to > k->now_ns ? to : k->now_ns);
}

static void walk_pop(struct walk *k)
{
	struct rl_list *l = rl_list_pop(&k->due);
	if (l)
		rl_container(l, struct walker, timer.link)->place = IDLE;
}

static void walk_check(const struct walk *k)
{
	unsigned long set = 0;
	for (int i = 0; i < WALKERS; i++) {
		const struct walker *one = &k->walker[i];
		set += one->place == SET;
		CHECK(rl_timer_is_set(&one->timer) == (one->place != IDLE));
	}
	CHECK_EQ(rl_wheel_len(k->w), set);
	int64_t next = rl_wheel_next(k->w), latest = walk_next(k);
	CHECK((next < 0) == (latest < 0));
	CHECK(next <= latest);
	CHECK(next < 0 || latest <= k->now_ns || next > k->now_ns); /* no wake-up for nothing */
}

static void walk(uint64_t seed, int steps)
{
	static struct walk k;
	memset(&k, 0, sizeof k);
	rl_list_init(&k.due);
	rl_rand_seed(&k.rand, seed);
	k.now_ns = (int64_t)(rl_rand_next(&k.rand) >> (3 + rl_rand_below(&k.rand, 60)));
	k.w = rl_wheel_new(k.now_ns);
	for (int i = 0; i < WALKERS; i++)
		rl_timer_init(&k.walker[i].timer);
	for (int step = 0; step < steps && check_bad == 0; step++) {
		struct walker *one = &k.walker[rl_rand_below(&k.rand, WALKERS)];
		uint64_t what = rl_rand_below(&k.rand, 10);
		if (what < 6 && one->place == IDLE)
			walk_set(&k, one);
		else if (what < 6)
			walk_pop(&k);
		else if (what < 8)
			walk_cancel(&k, one);
		else
			walk_on(&k);
		walk_check(&k);
	}
	if (check_bad)
		printf("    seed %llu\n", (unsigned long long)seed);
	rl_wheel_free(k.w);
}

TEST(random_walks_against_the_model)
{
	for (uint64_t seed = 1; seed <= 100 && check_bad == 0; seed++)
		walk(seed, 1000);
}

int main(void)
{
	RUN(an_empty_wheel_is_quiet);
	RUN(never_early_and_at_most_a_tick_late);
	RUN(a_passed_deadline_fires_at_the_next_advance);
	RUN(the_end_of_time_is_safe);
	RUN(time_does_not_run_backwards);
	RUN(one_advance_fires_in_order_of_deadline);
	RUN(set_order_survives_cascading);
	RUN(late_timers_come_first_in_order);
	RUN(cancel_is_idempotent_and_quiets_the_wheel);
	RUN(cancel_takes_a_timer_off_due);
	RUN(a_fired_timer_may_be_set_again);
	RUN(free_unlinks_what_is_set);
	RUN(sleeping_until_next_makes_progress);
	RUN(many_in_one_tick_come_out_sorted);
	RUN(random_walks_against_the_model);
	return FINISH();
}
