/* SPDX-License-Identifier: MIT */
/*
 * starve: a thread that is made up, whose waits end when the test says so. Times are in ms; the
 * limit is 50. Random lives are compared with what they were.
 */
#include "check.h"
#include "base/rand.h"
#include "rt/starve.h"

#include <stdlib.h>

#define MS 1000000LL
#define LIMIT 50

/* The thread: the counters of the kernel, and what it does now. */
static int64_t now, ran, waited, turns, began;
static char state;

static int64_t fake_ran(const struct rl_cpuwait *c)
{
	(void)c;
	return ran * MS;
}

static void fake_read(const struct rl_cpuwait *c, struct rl_cpuwait_counts *out)
{
	(void)c;
	out->waited_ns = waited * MS;
	out->turns = (uint64_t)turns;
}

static char fake_state(const struct rl_cpuwait *c)
{
	(void)c;
	return state;
}

static const struct rl_starve_sys fake = {fake_ran, fake_read, fake_state};

static void birth(struct rl_starve *s)
{
	now = 1000, ran = waited = turns = 0, state = 'S';
	memset(s, 0, sizeof *s);
	rl_starve_open_fake(s, &fake, LIMIT * MS, now * MS);
}

static void sleeps(int ms)
{
	state = 'S';
	now += ms;
}

/* It is woken, or was put aside. */
static void waits(int ms)
{
	if (state != 'R')
		began = now;
	state = 'R';
	now += ms;
}

static void runs(int ms)
{
	if (state == 'R' && began) {
		waited += now - began;
		turns++;
	}
	began = 0;
	state = 'R';
	ran += ms;
	now += ms;
}

static enum rl_starve_news look(struct rl_starve *s)
{
	return rl_starve_look(s, now * MS);
}

TEST(a_wait_is_told_when_it_has_lasted_and_when_it_is_over)
{
	struct rl_starve s;
	birth(&s);
	sleeps(100);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
	waits(25);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
	CHECK(rl_starve_waits(&s));
	waits(LIMIT - 1);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
	waits(1);
	CHECK_EQ(look(&s), RL_STARVE_BEGUN);
	CHECK_EQ(s.waiting_ns, (now - LIMIT) * MS);
	waits(1000);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
	runs(1);
	CHECK_EQ(look(&s), RL_STARVE_OVER);
	CHECK_EQ(s.lasted_ns, (25 + LIMIT + 1000) * MS);
	CHECK(!rl_starve_waits(&s));
	runs(100);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
}

TEST(a_wait_that_no_look_saw_is_told_once_afterwards)
{
	struct rl_starve s;
	birth(&s);
	sleeps(100);
	waits(LIMIT);
	runs(1);
	CHECK_EQ(look(&s), RL_STARVE_OVER);
	CHECK_EQ(s.lasted_ns, LIMIT * MS);
	runs(100);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
}

TEST(a_shorter_one_is_not)
{
	struct rl_starve s;
	birth(&s);
	for (int i = 0; i < 10; i++) {
		sleeps(25);
		look(&s);
		waits(LIMIT - 1);
		runs(1);
		CHECK_EQ(look(&s), RL_STARVE_NONE);
	}
}

TEST(many_short_waits_are_no_long_one)
{
	struct rl_starve s;
	birth(&s);
	for (int i = 0; i < 100; i++) {
		runs(5);
		state = 'S';
		waits(20);
	}
	runs(1);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
}

TEST(sleeping_and_computing_are_no_waits)
{
	struct rl_starve s;
	birth(&s);
	for (int i = 0; i < 100; i++) {
		sleeps(100);
		CHECK_EQ(look(&s), RL_STARVE_NONE);
		CHECK(!rl_starve_waits(&s));
	}
	for (int i = 0; i < 100; i++) {
		runs(100);
		CHECK_EQ(look(&s), RL_STARVE_NONE);
	}
}

TEST(a_thread_that_runs_when_it_is_asked_is_none_that_waits)
{
	struct rl_starve s;
	birth(&s);
	sleeps(100);
	state = 'R'; /* on its CPU, and its clock has not moved yet */
	CHECK_EQ(look(&s), RL_STARVE_NONE);
	CHECK(rl_starve_waits(&s));
	began = 0;
	runs(200);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
	CHECK(!rl_starve_waits(&s));
}

TEST(what_the_thread_itself_finds_is_told_at_the_next_look)
{
	struct rl_starve s;
	birth(&s);
	sleeps(5000);
	waits(80);
	runs(1);
	rl_starve_ran(&s, now * MS);
	sleeps(1);
	CHECK_EQ(look(&s), RL_STARVE_OVER);
	CHECK_EQ(s.lasted_ns, 80 * MS);
	CHECK_EQ(look(&s), RL_STARVE_NONE);
}

TEST(how_long_it_has_waited_since_a_mark)
{
	struct rl_starve s;
	birth(&s);
	runs(30);
	look(&s);
	rl_starve_mark(&s);
	CHECK_EQ(rl_starve_waited(&s, now * MS), 0);
	state = 'S';
	waits(30);
	look(&s);
	waits(70);
	look(&s);
	CHECK_EQ(rl_starve_waited(&s, now * MS), 70 * MS); /* known since the first look */
	runs(1);
	CHECK_EQ(rl_starve_waited(&s, now * MS), 100 * MS);
	look(&s);
	rl_starve_mark(&s);
	CHECK_EQ(rl_starve_waited(&s, now * MS), 0);
}

TEST(nobody_starves_without_a_limit_or_a_kernel_that_tells)
{
	struct rl_starve s = {0};
	rl_starve_open(&s, 0, 0);
	CHECK_EQ(rl_starve_look(&s, 1000 * MS), RL_STARVE_NONE);
	rl_starve_ran(&s, 2000 * MS);
	CHECK_EQ(rl_starve_waited(&s, 2000 * MS), 0);
	CHECK(!rl_starve_waits(&s));
	rl_starve_close(&s);
	rl_starve_close(&s);
}

/* A life with looks every ms or so: each wait of a limit and a half or more is told, none that is
 * shorter than the limit, and each with its length. */
static void live(uint64_t seed)
{
	struct rl_starve s;
	struct rl_rand r;
	int64_t due = 0, told = 0;
	rl_rand_seed(&r, seed);
	birth(&s);
	for (int step = 0; step < 60; step++) {
		int what = (int)(rl_rand_next(&r) % 3), ms = (int)(rl_rand_next(&r) % 200);
		int64_t length = 0;
		state = 'S';
		while (ms > 0) {
			int part = 1 + (int)(rl_rand_next(&r) % 3);
			(what == 0 ? sleeps : what == 1 ? waits : runs)(part);
			length += part;
			ms -= part;
			enum rl_starve_news news = look(&s);
			CHECK(news == RL_STARVE_NONE || (news == RL_STARVE_BEGUN && what == 1));
			CHECK(news == RL_STARVE_NONE || length >= LIMIT);
		}
		if (what != 1)
			continue;
		runs(1);
		told = look(&s) == RL_STARVE_OVER ? s.lasted_ns / MS : 0;
		due = length;
		if (told ? told < LIMIT || told > due || told < due - 4 : due >= LIMIT + LIMIT / 2) {
			printf("    seed %llu: a wait of %lld was told as %lld\n", (unsigned long long)seed,
				(long long)due, (long long)told);
			check_bad++;
			return;
		}
	}
}

TEST(random_lives)
{
	for (uint64_t seed = 1; seed <= 20000; seed++)
		live(seed);
}

int main(void)
{
	RUN(a_wait_is_told_when_it_has_lasted_and_when_it_is_over);
	RUN(a_wait_that_no_look_saw_is_told_once_afterwards);
	RUN(a_shorter_one_is_not);
	RUN(many_short_waits_are_no_long_one);
	RUN(sleeping_and_computing_are_no_waits);
	RUN(a_thread_that_runs_when_it_is_asked_is_none_that_waits);
	RUN(what_the_thread_itself_finds_is_told_at_the_next_look);
	RUN(how_long_it_has_waited_since_a_mark);
	RUN(nobody_starves_without_a_limit_or_a_kernel_that_tells);
	RUN(random_lives);
	return FINISH();
}
