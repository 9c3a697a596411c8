/* SPDX-License-Identifier: MIT */
/* The watchdog: a run that lasts is preempted, one that does not obey is an overrun. */
#include "check.h"
#include "base/err.h"
#include "rt/watch.h"

static volatile sig_atomic_t preempted;

static void on_preempt(void *self)
{
	(void)self;
	preempted++;
}

static void pretend_shard(struct rl_shard *s)
{
	memset(s, 0, sizeof *s);
	s->vm.preempt = on_preempt;
	preempted = 0;
}

TEST(preempts_a_run_that_lasts)
{
	struct rl_shard s;
	struct rl_watch *w = NULL;
	pretend_shard(&s);
	CHECK_EQ(rl_watch_open(&w, &s, 2000000), 0);
	atomic_store(&s.run_seq, 1);
	while (preempted == 0 || atomic_load(&s.overran) == 0)
		;
	atomic_store(&s.run_seq, 2);
	rl_watch_close(w);
	CHECK_EQ(atomic_load(&s.overran), 1);
}

TEST(refuses_a_taken_signal_and_restores_a_free_one)
{
	struct rl_shard s;
	struct rl_watch *w = NULL;
	struct sigaction now;
	pretend_shard(&s);
	signal(SIGURG, SIG_IGN);
	CHECK_EQ(rl_watch_open(&w, &s, 2000000), -EBUSY);
	signal(SIGURG, SIG_DFL);
	CHECK_EQ(rl_watch_open(&w, &s, 2000000), 0);
	rl_watch_close(w);
	sigaction(SIGURG, NULL, &now);
	CHECK(now.sa_handler == SIG_DFL);
}

int main(void)
{
	RUN(preempts_a_run_that_lasts);
	RUN(refuses_a_taken_signal_and_restores_a_free_one);
	return FINISH();
}
