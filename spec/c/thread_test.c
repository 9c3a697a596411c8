/* SPDX-License-Identifier: MIT */
/*
 * Helper threads by themselves: how many start, that work is handed back once, what close waits for
 * and what it abandons. The test build lets idle threads end after RL_THREAD_IDLE_NS.
 */
#define _GNU_SOURCE
#include "check.h"

#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL
#define PATIENCE_NS (20000 * MS)

struct job {
	struct rl_work work;
	int runs;
	atomic_int *gate; /* runs until it is 1 */
	bool signals_blocked;
};

static atomic_int notified, running, running_max;

static void on_done(void *arg)
{
	(void)arg;
	atomic_fetch_add(&notified, 1);
}

static int64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static void job_fn(struct rl_work *w)
{
	struct job *j = rl_container(w, struct job, work);
	sigset_t set;
	int now = atomic_fetch_add(&running, 1) + 1;
	if (now > atomic_load(&running_max))
		atomic_store(&running_max, now);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	j->signals_blocked = sigismember(&set, SIGINT) && sigismember(&set, SIGURG);
	j->runs++;
	while (j->gate && atomic_load(j->gate) == 0)
		sched_yield();
	atomic_fetch_sub(&running, 1);
}

static void post(struct rl_threads *t, struct job *j, atomic_int *gate)
{
	*j = (struct job){ .work = { .fn = job_fn }, .gate = gate };
	CHECK_EQ(rl_thread_post(t, &j->work), 0);
}

static struct rl_threads *start(void)
{
	atomic_store(&notified, 0);
	atomic_store(&running_max, 0);
	return rl_thread_open(on_done, NULL);
}

/* Wait, with patience, until the counter has a value. */
static void await(atomic_int *counter, int want)
{
	int64_t limit = clock_ns() + PATIENCE_NS;
	while (atomic_load(counter) != want && clock_ns() < limit)
		sched_yield();
	CHECK_EQ(atomic_load(counter), want);
}

static unsigned reap(struct rl_threads *t)
{
	struct rl_list done;
	unsigned n = 0;
	rl_list_init(&done);
	rl_thread_reap(t, &done);
	while (rl_list_pop(&done))
		n++;
	return n;
}

TEST(no_thread_runs_before_there_is_work)
{
	struct rl_threads *t = start();
	CHECK_EQ(rl_thread_count(t), 0);
	CHECK_EQ(reap(t), 0);
	CHECK_EQ(rl_thread_close(t, clock_ns()), 0);
	CHECK_EQ(rl_thread_close(NULL, 0), 0);
}

TEST(every_work_runs_once_and_comes_back_once)
{
	enum { JOBS = 1000 };
	static struct job jobs[JOBS];
	struct rl_threads *t = start();
	unsigned back = 0;
	for (int i = 0; i < JOBS; i++)
		post(t, &jobs[i], NULL);
	await(&notified, JOBS);
	back = reap(t);
	CHECK_EQ(back, JOBS);
	CHECK_EQ(reap(t), 0);
	for (int i = 0; i < JOBS; i++)
		CHECK(jobs[i].runs == 1 && jobs[i].signals_blocked);
	CHECK(atomic_load(&running_max) <= RL_THREAD_MAX);
	CHECK_EQ(rl_thread_close(t, clock_ns() + PATIENCE_NS), 0);
}

TEST(stuck_work_does_not_hold_up_the_rest_until_all_threads_are_stuck)
{
	enum { JOBS = RL_THREAD_MAX + 2 };
	struct job jobs[JOBS];
	atomic_int gate = 0;
	struct rl_threads *t = start();
	for (int i = 0; i < JOBS; i++)
		post(t, &jobs[i], &gate);
	await(&running, RL_THREAD_MAX);
	CHECK_EQ(rl_thread_count(t), RL_THREAD_MAX);
	CHECK_EQ(reap(t), 0);
	atomic_store(&gate, 1);
	await(&notified, JOBS);
	CHECK_EQ(reap(t), JOBS);
	CHECK_EQ(rl_thread_close(t, clock_ns() + PATIENCE_NS), 0);
}

TEST(one_thread_is_enough_for_work_that_comes_one_at_a_time)
{
	struct job job;
	struct rl_threads *t = start();
	for (int i = 1; i <= 20; i++) {
		post(t, &job, NULL);
		await(&notified, i);
		CHECK_EQ(reap(t), 1);
	}
	CHECK(rl_thread_count(t) <= 2); /* the first may still be on its way back to the queue */
	CHECK_EQ(rl_thread_close(t, clock_ns() + PATIENCE_NS), 0);
}

/* A thread that was signalled but does not run yet is not free for a second work. */
TEST(two_works_posted_at_once_do_not_share_one_idle_thread)
{
	struct job jobs[3];
	atomic_int gate = 0;
	struct rl_threads *t = start();
	post(t, &jobs[0], NULL);
	await(&notified, 1);
	usleep(5000); /* most likely idle now; when it is not, the test proves less and passes */
	post(t, &jobs[1], &gate);
	post(t, &jobs[2], &gate);
	await(&running, 2);
	atomic_store(&gate, 1);
	await(&notified, 3);
	CHECK_EQ(reap(t), 3);
	CHECK_EQ(rl_thread_close(t, clock_ns() + PATIENCE_NS), 0);
}

TEST(idle_threads_end_and_others_start_again)
{
	struct job job;
	if (RL_THREAD_IDLE_NS > 1000 * MS)
		SKIP("idle threads live for seconds: build with -DRL_THREAD_IDLE_NS=20000000");
	struct rl_threads *t = start();
	for (int i = 1; i <= 3; i++) {
		post(t, &job, NULL);
		await(&notified, i);
		CHECK_EQ(reap(t), 1);
		int64_t limit = clock_ns() + PATIENCE_NS;
		while (rl_thread_count(t) > 0 && clock_ns() < limit)
			usleep(1000);
		CHECK_EQ(rl_thread_count(t), 0);
	}
	CHECK_EQ(rl_thread_close(t, clock_ns()), 0);
}

TEST(close_waits_for_running_work_and_forgets_queued_work)
{
	enum { JOBS = RL_THREAD_MAX + 3 };
	struct job jobs[JOBS];
	atomic_int gate = 0;
	struct rl_threads *t = start();
	int ran = 0;
	for (int i = 0; i < JOBS; i++)
		post(t, &jobs[i], i < RL_THREAD_MAX ? &gate : NULL);
	await(&running, RL_THREAD_MAX);
	atomic_store(&gate, 1);
	CHECK_EQ(rl_thread_close(t, clock_ns() + PATIENCE_NS), 0);
	CHECK_EQ(atomic_load(&running), 0);
	for (int i = 0; i < JOBS; i++)
		ran += jobs[i].runs;
	CHECK(ran >= RL_THREAD_MAX && ran <= JOBS);
	CHECK_EQ(atomic_load(&notified), ran);
}

TEST(close_abandons_work_that_does_not_end)
{
	static struct job stuck;
	static atomic_int gate;
	struct rl_threads *t = start();
	post(t, &stuck, &gate);
	await(&running, 1);
	int64_t from = clock_ns();
	CHECK_EQ(rl_thread_close(t, from + 30 * MS), -EBUSY);
	CHECK(clock_ns() - from >= 30 * MS);
	CHECK_EQ(atomic_load(&notified), 0);
	atomic_store(&gate, 1);
	await(&running, 0);
	usleep(50000); /* it frees the pool and ends; a sanitizer sees whether it does so correctly */
	CHECK_EQ(atomic_load(&notified), 0);
	CHECK_EQ(stuck.runs, 1);
}

int main(void)
{
	RUN(no_thread_runs_before_there_is_work);
	RUN(every_work_runs_once_and_comes_back_once);
	RUN(stuck_work_does_not_hold_up_the_rest_until_all_threads_are_stuck);
	RUN(one_thread_is_enough_for_work_that_comes_one_at_a_time);
	RUN(two_works_posted_at_once_do_not_share_one_idle_thread);
	RUN(idle_threads_end_and_others_start_again);
	RUN(close_waits_for_running_work_and_forgets_queued_work);
	RUN(close_abandons_work_that_does_not_end);
	return FINISH();
}
