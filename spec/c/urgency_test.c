/* SPDX-License-Identifier: MIT */
/* urgency: when a turn ends early, what a word from outside does, and what it may cost. The time is
 * that of `sim`, which the test moves. */
#include "shard_probe.h"

#include "rt/beacon.h"
#include "rt/urgency.h"

#include <limits.h>

#define US 1000
#define POLL_NS (50 * US)         /* between two looks at the kernel */
#define HINTED_POLL_NS (250 * US) /* ... with a word */
#define AWAIT_NS (500 * US)
#define SHARE 20
#define SOME 8                    /* sends that are queued at a time */
#define FLUSH_NS (2000 * US)      /* that a send waits at most */
#define RECENT_NS (20000 * US)    /* for so long more of what is critical may come */

static enum rl_ran end_at_once(struct probe *p, struct rl_task *t)
{
	(void)p;
	(void)t;
	return RL_RAN_ENDED;
}

static void pass(struct probe *p, int64_t ns)
{
	p->shard.os->ops->skip(p->shard.os, p->shard.now_ns + ns);
	rl_shard_now(&p->shard);
}

/* Something is to be had from the kernel, or not. */
static void arrive(struct probe *p)
{
	p->shard.os->ops->wake(p->shard.os);
}

static void look(struct probe *p)
{
	rl_os_poll(p->shard.os, 0);
	rl_shard_now(&p->shard);
	rl_urgency_polled(&p->shard);
}

static void open_urgent(struct probe *p)
{
	probe_open(p, end_at_once);
	rl_urgency_add(&p->shard, 1);
	look(p);
}

static bool ends(struct probe *p, unsigned priority)
{
	bool yes = rl_urgency_ends_turn(&p->shard, priority);
	CHECK_EQ(rl_urgency_ends_turn(&p->shard, RL_NORMAL), yes); /* once it is to end, it is */
	p->shard.urgency.ending = false;
	return yes;
}

TEST(a_turn_ends_for_what_has_come_but_not_each_time)
{
	struct probe p;
	open_urgent(&p);
	pass(&p, 10 * POLL_NS);
	CHECK(!ends(&p, RL_NORMAL)); /* nothing has */
	look(&p);
	arrive(&p);
	CHECK(!ends(&p, RL_NORMAL) && !ends(&p, RL_BACKGROUND));
	pass(&p, POLL_NS - 1);
	CHECK(!ends(&p, RL_NORMAL));
	pass(&p, 1);
	CHECK(ends(&p, RL_NORMAL) && ends(&p, RL_BACKGROUND));
	look(&p);
	CHECK(!ends(&p, RL_NORMAL));
	arrive(&p);
	CHECK(ends(&p, RL_CRITICAL)); /* behind who is critical, at once */
	probe_close(&p);
}

TEST(a_turn_ends_for_what_is_due)
{
	struct probe p;
	open_urgent(&p);
	p.shard.due_ns = p.shard.now_ns + POLL_NS + 7;
	pass(&p, POLL_NS);
	CHECK(!ends(&p, RL_NORMAL));
	pass(&p, 6);
	CHECK(!ends(&p, RL_NORMAL));
	pass(&p, 1);
	CHECK(ends(&p, RL_NORMAL));
	p.shard.due_ns = -1;
	CHECK(!ends(&p, RL_NORMAL));
	probe_close(&p);
}

TEST(who_is_critical_already_is_run_before_the_kernel_is_asked)
{
	struct probe p;
	open_urgent(&p);
	struct rl_task *t = rl_task_new(&p.shard, 0);
	rl_task_set_priority(&p.shard, t, RL_CRITICAL);
	pass(&p, 10 * POLL_NS);
	arrive(&p);
	CHECK(!ends(&p, RL_NORMAL) && !ends(&p, RL_CRITICAL));
	rl_task_set_priority(&p.shard, t, RL_NORMAL);
	CHECK(ends(&p, RL_NORMAL));
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	probe_close(&p);
}

TEST(with_a_word_the_kernel_is_asked_more_rarely)
{
	struct probe p;
	struct rl_urgent urgent = {.word = 7};
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	CHECK_EQ(p.shard.urgency.sources, 2);
	arrive(&p);
	pass(&p, HINTED_POLL_NS - 1);
	CHECK(!ends(&p, RL_NORMAL)); /* 7 is not news */
	pass(&p, 1);
	CHECK(ends(&p, RL_NORMAL));
	look(&p);
	arrive(&p);
	urgent.word++;
	CHECK(ends(&p, RL_NORMAL));
	rl_urgency_watch(&p.shard, NULL);
	rl_urgency_watch(&p.shard, NULL);
	CHECK_EQ(p.shard.urgency.sources, 1);
	urgent.word++;
	CHECK(!ends(&p, RL_NORMAL));
	probe_close(&p);
}

/* Before what raised it can be had, the shard looks again for some time. */
TEST(a_word_ahead_of_the_data_is_remembered_for_some_time)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	struct rl_urgency *u = &p.shard.urgency;
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	pass(&p, 100 * AWAIT_NS);
	look(&p);
	CHECK_EQ(u->allowance_ns, AWAIT_NS);
	urgent.at_ns = (uint64_t)p.shard.now_ns;
	urgent.word = 1;
	CHECK(ends(&p, RL_NORMAL));
	CHECK_EQ(u->hints, 1);
	CHECK_EQ(u->until_ns, p.shard.now_ns + AWAIT_NS);
	CHECK(!ends(&p, RL_NORMAL)); /* it is seen once */
	arrive(&p);
	rl_urgency_await(&p.shard);
	CHECK(u->until_ns > 0 && u->spurious == 0);
	look(&p); /* not the critical one yet */
	CHECK(u->until_ns > 0);
	pass(&p, 3);
	rl_urgency_arrived(&p.shard);
	rl_urgency_polled(&p.shard);
	CHECK_EQ(u->until_ns, 0);
	probe_close(&p);
}

TEST(a_word_with_nothing_behind_it_is_spurious)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	struct rl_urgency *u = &p.shard.urgency;
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	for (int i = 1; i <= 3; i++) {
		urgent.word++;
		CHECK(ends(&p, RL_NORMAL));
		rl_urgency_await(&p.shard);
		CHECK_EQ(u->until_ns, 0);
		CHECK_EQ(u->spurious, i);
	}
	probe_close(&p);
}

/* What raised it was received before the word was looked at, as by a shard that was idle. */
TEST(a_word_behind_the_data_is_stale)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	struct rl_urgency *u = &p.shard.urgency;
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	urgent.at_ns = (uint64_t)p.shard.now_ns;
	urgent.word = 1;
	rl_urgency_arrived(&p.shard);
	CHECK(!ends(&p, RL_NORMAL));
	CHECK_EQ(u->hints, 1);
	CHECK_EQ(u->until_ns, 0);
	pass(&p, 1);
	urgent.at_ns = (uint64_t)p.shard.now_ns;
	urgent.word = 2;
	CHECK(ends(&p, RL_NORMAL));
	urgent.at_ns = 0; /* it is not known when */
	urgent.word = 3;
	CHECK(ends(&p, RL_NORMAL));
	probe_close(&p);
}

/* What it may cost is a share of the time, whatever the word does. */
TEST(the_allowance_is_a_share_of_the_time_and_bounded)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	struct rl_urgency *u = &p.shard.urgency;
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	CHECK_EQ(u->allowance_ns, 0);
	urgent.word++;
	CHECK(ends(&p, RL_NORMAL));
	CHECK_EQ(u->until_ns, p.shard.now_ns); /* it has none */
	pass(&p, SHARE * 1000);
	look(&p);
	CHECK_EQ(u->allowance_ns, 1000);
	urgent.word++;
	CHECK(ends(&p, RL_NORMAL));
	CHECK_EQ(u->until_ns, p.shard.now_ns + 1000);
	pass(&p, 1000LL * SHARE * AWAIT_NS);
	look(&p);
	CHECK_EQ(u->allowance_ns, AWAIT_NS);
	u->allowance_ns = -5;
	urgent.word++;
	CHECK(ends(&p, RL_NORMAL));
	CHECK_EQ(u->until_ns, p.shard.now_ns);
	probe_close(&p);
}

/* The time spent is taken off it. The clock of this one goes on by itself. */
static int64_t ticking_ns;

static int64_t ticking(struct rl_os *os)
{
	(void)os;
	return ticking_ns += 10;
}

TEST(waiting_is_paid_for_and_ends_with_the_allowance)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	struct rl_urgency *u = &p.shard.urgency;
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	pass(&p, 100LL * SHARE * AWAIT_NS);
	look(&p);
	struct rl_os_ops ops = *p.shard.os->ops;
	const struct rl_os_ops *own = p.shard.os->ops;
	ops.now = ticking;
	ticking_ns = p.shard.now_ns;
	p.shard.os->ops = &ops;
	p.shard.os->closed_world = false;
	urgent.word++;
	CHECK(rl_urgency_ends_turn(&p.shard, RL_NORMAL));
	int64_t from_ns = p.shard.now_ns, until_ns = u->until_ns;
	rl_urgency_await(&p.shard);
	CHECK(p.shard.now_ns >= until_ns && p.shard.now_ns <= from_ns + AWAIT_NS + 100);
	CHECK(u->allowance_ns <= 0 && u->allowance_ns > -100);
	CHECK_EQ(u->spurious, 1);
	/* A word that never rests: in the long run, one part in SHARE of the time and one wait. */
	int64_t spent_ns = 0, begun_ns = p.shard.now_ns;
	for (int i = 0; i < 1000; i++) {
		ticking_ns += 10 * US;
		rl_shard_now(&p.shard);
		rl_urgency_polled(&p.shard);
		urgent.word++;
		u->ending = false;
		CHECK(rl_urgency_ends_turn(&p.shard, RL_NORMAL));
		from_ns = p.shard.now_ns;
		rl_urgency_await(&p.shard);
		spent_ns += p.shard.now_ns - from_ns;
	}
	CHECK(spent_ns > 0 && spent_ns <= (p.shard.now_ns - begun_ns) / SHARE + AWAIT_NS);
	p.shard.os->ops = own;
	p.shard.os->closed_world = true;
	probe_close(&p);
}

TEST(a_word_that_never_rests_lets_every_turn_run_something)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	for (unsigned i = 0; i < 20; i++)
		rl_task_new(&p.shard, 0);
	for (unsigned i = 1; i <= 20; i++) {
		urgent.word++;
		CHECK_EQ(rl_shard_turn(&p.shard) < 0, 0);
		CHECK_EQ(p.log_len, i);
	}
	probe_close(&p);
}

static unsigned flushes(struct probe *p, bool ending, bool critical)
{
	p->shard.urgency.ending = ending;
	p->shard.urgency.critical = critical;
	return rl_urgency_flushes(&p->shard);
}

TEST(answers_of_the_bulk_wait_while_something_critical_may_come)
{
	struct probe p;
	open_urgent(&p);
	pass(&p, US);
	CHECK_EQ(flushes(&p, true, false), UINT_MAX); /* nothing critical has ever come */
	rl_urgency_arrived(&p.shard);
	pass(&p, US);
	CHECK_EQ(flushes(&p, true, false), 0);
	CHECK_EQ(flushes(&p, false, false), SOME); /* at the end of a whole turn they do not */
	CHECK_EQ(flushes(&p, true, true), SOME);   /* nor behind a critical one */
	pass(&p, FLUSH_NS - 1);
	CHECK_EQ(flushes(&p, true, false), 0);
	pass(&p, 1);
	CHECK_EQ(flushes(&p, true, false), SOME); /* they have waited for long */
	CHECK_EQ(flushes(&p, true, false), 0);
	pass(&p, RECENT_NS);
	CHECK_EQ(flushes(&p, true, false), UINT_MAX);
	probe_close(&p);
}

TEST(who_is_to_be_interrupted)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	probe_open(&p, end_at_once);
	struct rl_task *t = rl_task_new(&p.shard, 0), *other = rl_task_new(&p.shard, 0);
	rl_runq_remove(&p.shard.runq, t);
	t->state = RL_TASK_RUNNING;
	arrive(&p);
	p.shard.current = t;
	CHECK(!rl_urgency_interrupts(&p.shard)); /* nobody asked for any of this */
	rl_urgency_add(&p.shard, 1);
	CHECK(rl_urgency_interrupts(&p.shard));  /* something has come */
	look(&p);
	CHECK(!rl_urgency_interrupts(&p.shard)); /* nor is `other`, of its own priority, a reason */
	rl_task_set_priority(&p.shard, t, RL_BACKGROUND);
	CHECK(rl_urgency_interrupts(&p.shard));
	rl_task_set_priority(&p.shard, other, RL_BACKGROUND);
	CHECK(!rl_urgency_interrupts(&p.shard));
	rl_task_set_priority(&p.shard, other, RL_CRITICAL);
	rl_task_set_priority(&p.shard, t, RL_NORMAL);
	CHECK(rl_urgency_interrupts(&p.shard));
	rl_task_set_priority(&p.shard, t, RL_CRITICAL);
	arrive(&p);
	CHECK(!rl_urgency_interrupts(&p.shard)); /* nobody goes before it */
	look(&p);
	rl_task_set_priority(&p.shard, other, RL_NORMAL);
	rl_task_set_priority(&p.shard, t, RL_NORMAL);
	rl_urgency_watch(&p.shard, &urgent);
	CHECK(!rl_urgency_interrupts(&p.shard));
	urgent.word++;
	CHECK(rl_urgency_interrupts(&p.shard));
	p.shard.current = NULL;
	CHECK(!rl_urgency_interrupts(&p.shard)); /* between two tasks */
	rl_task_free(&p.shard, t);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	probe_close(&p);
}

/* Of many ready tasks, those behind the third wait for the next turn: something came. */
static enum rl_ran wake_third(struct probe *p, struct rl_task *t)
{
	if (t->id == 3) {
		pass(p, POLL_NS);
		arrive(p);
	}
	return RL_RAN_ENDED;
}

TEST(a_turn_of_the_loop_ends_early_only_with_a_source)
{
	for (int sources = 0; sources < 2; sources++) {
		struct probe p;
		probe_open(&p, wake_third);
		rl_urgency_add(&p.shard, sources);
		for (int i = 0; i < 6; i++)
			rl_task_new(&p.shard, 0);
		rl_shard_turn(&p.shard);
		CHECK_EQ(p.log_len, sources ? 3 : 6);
		CHECK_EQ(p.shard.counts.polls, 1);
		rl_shard_turn(&p.shard);
		CHECK_EQ(p.log_len, 6);
		probe_close(&p);
	}
}

TEST(a_new_run_begins_with_no_reason_to_look)
{
	struct probe p;
	struct rl_urgent urgent = {0};
	struct rl_os_config config = {.seed = 7};
	open_urgent(&p);
	rl_urgency_watch(&p.shard, &urgent);
	CHECK_EQ(rl_shard_close(&p.shard), 0);
	CHECK(p.shard.urgency.urgent == NULL);
	CHECK_EQ(rl_shard_open(&p.shard, "sim", &config, NULL), 0);
	CHECK_EQ(p.shard.urgency.sources, 0);
	CHECK(!atomic_load(&p.shard.urgent));
	probe_close(&p);
}

int main(void)
{
	RUN(a_turn_ends_for_what_has_come_but_not_each_time);
	RUN(a_turn_ends_for_what_is_due);
	RUN(who_is_critical_already_is_run_before_the_kernel_is_asked);
	RUN(with_a_word_the_kernel_is_asked_more_rarely);
	RUN(a_word_ahead_of_the_data_is_remembered_for_some_time);
	RUN(a_word_with_nothing_behind_it_is_spurious);
	RUN(a_word_behind_the_data_is_stale);
	RUN(the_allowance_is_a_share_of_the_time_and_bounded);
	RUN(waiting_is_paid_for_and_ends_with_the_allowance);
	RUN(a_word_that_never_rests_lets_every_turn_run_something);
	RUN(answers_of_the_bulk_wait_while_something_critical_may_come);
	RUN(who_is_to_be_interrupted);
	RUN(a_turn_of_the_loop_ends_early_only_with_a_source);
	RUN(a_new_run_begins_with_no_reason_to_look);
	return FINISH();
}
