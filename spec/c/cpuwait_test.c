/* SPDX-License-Identifier: MIT */
/* cpuwait: threads of the test, of which it is known what they do; and what the kernel counts. */
#define _GNU_SOURCE
#include "check.h"
#include "base/err.h"
#include "os/cpuwait.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL
#define PATIENCE_NS (20000 * MS)

static int64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

/* Until the own CPU time says so. */
static void compute(const struct rl_cpuwait *own, int64_t ns)
{
	int64_t until = rl_cpuwait_ran_ns(own) + ns;
	while (rl_cpuwait_ran_ns(own) < until)
		;
}

/* A thread that opens itself, and then sleeps until it is told to end. */
struct sleeper {
	struct rl_cpuwait c;
	atomic_bool open;
	int ends[2]; /* of a pipe */
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	pthread_setname_np(pthread_self(), "a) S (b");
	CHECK_EQ(rl_cpuwait_open(&s->c), 0);
	atomic_store(&s->open, true);
	char byte;
	CHECK_EQ(read(s->ends[0], &byte, 1), 1);
	return NULL;
}

static void await_state(const struct rl_cpuwait *c, char state)
{
	int64_t limit = clock_ns() + PATIENCE_NS;
	while (rl_cpuwait_state(c) != state && clock_ns() < limit)
		usleep(1000);
	CHECK_EQ(rl_cpuwait_state(c), state);
}

TEST(a_thread_that_sleeps_is_told_from_one_that_runs)
{
	struct sleeper s = {0};
	struct rl_cpuwait own;
	pthread_t id;
	CHECK_EQ(pipe(s.ends), 0);
	CHECK_EQ(rl_cpuwait_open(&own), 0);
	CHECK_EQ(rl_cpuwait_state(&own), 'R');
	CHECK_EQ(pthread_create(&id, NULL, sleeper_main, &s), 0);
	while (!atomic_load(&s.open))
		sched_yield();
	await_state(&s.c, 'S');
	int64_t ran = rl_cpuwait_ran_ns(&s.c);
	compute(&own, 20 * MS);
	CHECK(rl_cpuwait_ran_ns(&s.c) - ran < 20 * MS);
	CHECK_EQ(write(s.ends[1], "x", 1), 1);
	pthread_join(id, NULL);
	await_state(&s.c, '?'); /* it has ended, and the kernel has taken it away */
	close(s.ends[0]);
	close(s.ends[1]);
	rl_cpuwait_close(&s.c);
	rl_cpuwait_close(&own);
}

TEST(computing_is_counted_as_it_goes)
{
	struct rl_cpuwait c;
	CHECK_EQ(rl_cpuwait_open(&c), 0);
	int64_t from = rl_cpuwait_ran_ns(&c);
	int64_t limit = clock_ns() + PATIENCE_NS;
	while (rl_cpuwait_ran_ns(&c) - from < 10 * MS && clock_ns() < limit)
		;
	CHECK(rl_cpuwait_ran_ns(&c) - from >= 10 * MS);
	rl_cpuwait_close(&c);
}

static void *hog_main(void *arg)
{
	while (!atomic_load((atomic_bool *)arg))
		;
	return NULL;
}

TEST(waiting_for_the_cpu_that_another_is_on_is_counted)
{
	cpu_set_t before, one;
	struct rl_cpuwait c;
	struct rl_cpuwait_counts from, to;
	atomic_bool stop = false;
	pthread_t id;
	CHECK_EQ(rl_cpuwait_open(&c), 0);
	rl_cpuwait_read(&c, &from);
	if (from.turns == 0) {
		rl_cpuwait_close(&c);
		SKIP("this kernel does not count (CONFIG_SCHED_INFO)");
	}
	CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	CHECK_EQ(pthread_create(&id, NULL, hog_main, &stop), 0);
	int64_t limit = clock_ns() + PATIENCE_NS;
	do {
		sched_yield();
		rl_cpuwait_read(&c, &to);
	} while (to.waited_ns - from.waited_ns < 20 * MS && clock_ns() < limit);
	CHECK(to.waited_ns - from.waited_ns >= 20 * MS);
	CHECK(to.turns > from.turns);
	atomic_store(&stop, true);
	pthread_join(id, NULL);
	sched_setaffinity(0, sizeof(before), &before);
	rl_cpuwait_close(&c);
}

static int count_descriptors(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

TEST(descriptors_are_given_back_once)
{
	struct rl_cpuwait c = {0};
	int before = count_descriptors();
	rl_cpuwait_close(&c);
	CHECK_EQ(rl_cpuwait_open(&c), 0);
	CHECK_EQ(count_descriptors(), before + 2);
	rl_cpuwait_close(&c);
	rl_cpuwait_close(&c);
	CHECK_EQ(count_descriptors(), before);
}

int main(void)
{
	RUN(a_thread_that_sleeps_is_told_from_one_that_runs);
	RUN(computing_is_counted_as_it_goes);
	RUN(waiting_for_the_cpu_that_another_is_on_is_counted);
	RUN(descriptors_are_given_back_once);
	return FINISH();
}
