/* SPDX-License-Identifier: MIT */
/*
 * trace: which records a shard writes, in which order; texts, names and their bounds; and a thread
 * that reads while the shard runs.
 */
#include "rt/trace.h"

#include "shard_probe.h"
#include "torture.h"

static struct rl_waitq q;

static struct rl_recorder *new_recorder(uint64_t bytes)
{
	struct rl_recorder *r;
	struct rl_recorder_config c = {.sections = 1, .bytes = bytes, .is_virtual = true};
	CHECK_EQ(rl_recorder_open(&r, &c), 0);
	return r;
}

struct record {
	unsigned kind, detail;
	uint64_t time;
	uint32_t task, other;
};

static struct record record_at(const struct rl_recorder *r, uint64_t i)
{
	struct rl_tracelog log = rl_recorder_log(r, 0);
	uint64_t w[2];
	rl_tracelog_copy(&log, i, 1, w);
	return (struct record){
		(unsigned)(w[0] & 255), (unsigned)(w[0] >> 8 & 255), w[0] >> 16, (uint32_t)w[1],
		(uint32_t)(w[1] >> 32),
	};
}

static uint64_t count(const struct rl_recorder *r)
{
	return RL_LOAD(&rl_recorder_section(r, 0)->head, relaxed);
}

/* The first parks, the second makes a third, wakes the first and ends; the third yields once. */
static enum rl_ran play(struct probe *p, struct rl_task *t)
{
	struct rl_shard *s = &p->shard;
	unsigned runs = 0;
	for (unsigned i = 0; i < p->log_len; i++)
		runs += p->log[i] == t->id;
	if (runs > 1)
		return RL_RAN_ENDED;
	switch (t->id) {
	case 1:
		rl_wait_add(t, &q, 0, 0);
		rl_wait_park(s, t, RL_REASON_EVENT, -1);
		return RL_RAN_PARKED;
	case 2:
		rl_task_new(s, 0);
		rl_waitq_wake(s, &q, 0, true);
		return RL_RAN_ENDED;
	default:
		t->reason = RL_REASON_YIELD;
		rl_ready_last(s, t);
		return RL_RAN_PARKED;
	}
}

TEST(a_story_in_order)
{
	static const struct record want[] = {
		{RL_TRACE_WAKE, 0, 0, 0, 0},
		{RL_TRACE_CREATE, 0, 0, 1, 0},
		{RL_TRACE_CREATE, 0, 0, 2, 0},
		{RL_TRACE_RUN, 0, 0, 1, 1},
		{RL_TRACE_PARK, RL_REASON_EVENT, 0, 1, 0},
		{RL_TRACE_RUN, 0, 0, 2, 0},
		{RL_TRACE_CREATE, 0, 0, 3, 2},
		{RL_TRACE_READY, RL_TRACE_FIRED, 0, 1, 2},
		{RL_TRACE_END, 0, 0, 2, 0},
		{RL_TRACE_RUN, 0, 0, 3, 1},
		{RL_TRACE_YIELD, 0, 0, 3, 0},
		{RL_TRACE_RUN, 0, 0, 1, 1},
		{RL_TRACE_END, 0, 0, 1, 0},
		{RL_TRACE_RUN, 0, 0, 3, 0},
		{RL_TRACE_END, 0, 0, 3, 0},
	};
	struct probe p;
	struct rl_recorder *r = new_recorder(4096);
	rl_waitq_init(&q);
	probe_open(&p, play);
	CHECK_EQ(rl_trace_attach(&p.shard, r), 0);
	rl_task_new(&p.shard, 0);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(count(r), sizeof want / sizeof *want);
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		struct record got = record_at(r, i);
		CHECK_EQ(got.kind, want[i].kind);
		CHECK_EQ(got.detail, want[i].detail);
		CHECK_EQ(got.task, want[i].task);
		CHECK_EQ(got.other, want[i].other);
	}
	probe_close(&p);
	rl_shared_put(&r->shared);
}

static enum rl_ran nap(struct probe *p, struct rl_task *t)
{
	if (p->log_len > 1)
		return RL_RAN_ENDED;
	rl_wait_park(&p->shard, t, RL_REASON_SLEEP, p->shard.now_ns + 1000000000);
	return RL_RAN_PARKED;
}

/* The number of the first record of a kind. */
static uint64_t find(const struct rl_recorder *r, unsigned kind)
{
	uint64_t i = 0, n = count(r);
	while (i < n && record_at(r, i).kind != kind)
		i++;
	CHECK(i < n);
	return i;
}

/* Who is readied by time is readied after the sleep, by nobody. */
TEST(a_sleep_ends_before_what_it_brings)
{
	struct probe p;
	struct rl_recorder *r = new_recorder(4096);
	probe_open(&p, nap);
	uint64_t from = (uint64_t)p.shard.now_ns;
	CHECK_EQ(rl_trace_attach(&p.shard, r), 0);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	struct record sleep = record_at(r, find(r, RL_TRACE_SLEEP));
	uint64_t ready = find(r, RL_TRACE_READY);
	CHECK_EQ(sleep.detail, 1);
	CHECK_EQ(sleep.time, from);
	CHECK_EQ(record_at(r, ready - 1).kind, RL_TRACE_WAKE);
	CHECK(record_at(r, ready - 1).time >= from + 1000000000);
	CHECK_EQ(record_at(r, ready).detail, RL_TRACE_TIMED_OUT);
	CHECK_EQ(record_at(r, ready).other, 0);
	CHECK_EQ(record_at(r, ready + 1).kind, RL_TRACE_RUN);
	probe_close(&p);
	rl_shared_put(&r->shared);
}

TEST(nothing_is_recorded_after_detach_or_close)
{
	struct probe p;
	struct rl_recorder *r = new_recorder(4096);
	probe_open(&p, nap);
	CHECK_EQ(rl_trace_attach(&p.shard, r), 0);
	rl_trace_detach(&p.shard);
	rl_trace_detach(&p.shard);
	uint64_t before = count(r);
	rl_task_new(&p.shard, 0);
	CHECK_EQ(rl_shard_loop(&p.shard, &p.brk), RL_LOOP_DONE);
	CHECK_EQ(count(r), before);
	CHECK_EQ(rl_trace_attach(&p.shard, r), 0);
	probe_close(&p);
	CHECK_EQ(atomic_load(&r->shared.refs), 1);
	rl_shared_put(&r->shared);
}

TEST(there_must_be_a_section)
{
	struct probe p;
	struct rl_recorder *r = new_recorder(4096);
	probe_open(&p, nap);
	p.shard.index = 1;
	CHECK_EQ(rl_trace_attach(&p.shard, r), -EINVAL);
	CHECK(p.shard.trace == NULL);
	p.shard.index = 0;
	probe_close(&p);
	rl_shared_put(&r->shared);
}

TEST(texts_are_written_once_until_there_is_no_room)
{
	struct probe p;
	struct rl_recorder *r = new_recorder(4096);
	char text[300];
	probe_open(&p, nap);
	CHECK_EQ(rl_trace_attach(&p.shard, r), 0);
	struct rl_trace *t = p.shard.trace;
	uint32_t a = rl_trace_intern(t, "alpha", 5), b = rl_trace_intern(t, "beta", 4);
	CHECK(a > 0 && b > a);
	CHECK_EQ(rl_trace_intern(t, "alpha", 5), a);
	CHECK_EQ(rl_recorder_texts(r, 0)[a], 5);
	CHECK(memcmp(rl_recorder_texts(r, 0) + a + 1, "alpha", 5) == 0);
	memset(text, 'x', sizeof text);
	uint32_t cut = rl_trace_intern(t, text, sizeof text);
	CHECK_EQ((unsigned char)rl_recorder_texts(r, 0)[cut], RL_TRACE_TEXT_MAX);
	unsigned full = 0;
	for (unsigned i = 0; i < 10000; i++) {
		int n = snprintf(text, sizeof text, "text %u", i);
		full += rl_trace_intern(t, text, (uint32_t)n) == 0;
	}
	CHECK(full > 0);
	CHECK_EQ(rl_trace_intern(t, "alpha", 5), a);
	CHECK(RL_LOAD(&rl_recorder_section(r, 0)->texts_used, relaxed) <= RL_RECORDER_TEXTS);
	rl_trace_name(t, 7, a);
	CHECK_EQ(RL_LOAD(&rl_recorder_names(r, 0)[7], relaxed), 7 | (uint64_t)a << 32);
	probe_close(&p);
	rl_shared_put(&r->shared);
}

TEST(a_log_is_behind_its_record)
{
	struct probe p;
	struct rl_recorder *r = new_recorder(65536);
	char text[400];
	probe_open(&p, nap);
	CHECK_EQ(rl_trace_attach(&p.shard, r), 0);
	uint64_t at = count(r);
	rl_trace_say(p.shard.trace, 9, "0123456789abcdefg", 17);
	CHECK_EQ(count(r), at + 3);
	CHECK_EQ(record_at(r, at).kind, RL_TRACE_LOG);
	CHECK_EQ(record_at(r, at).task, 9);
	CHECK_EQ(record_at(r, at + 1).kind, RL_TRACE_TEXT);
	CHECK_EQ(record_at(r, at + 1).detail, 14);
	CHECK_EQ(record_at(r, at + 2).detail, 3);
	CHECK_EQ(record_at(r, at + 2).time, 0x676665); /* "efg" */
	memset(text, 'y', sizeof text);
	at = count(r);
	rl_trace_say(p.shard.trace, 9, text, sizeof text);
	CHECK_EQ(count(r), at + 1 + 18);
	probe_close(&p);
	rl_shared_put(&r->shared);
}

/* ---- a thread that reads ---- */

struct race {
	struct probe p;
	struct rl_recorder *r;
	unsigned turns;
	atomic_bool done;
	uint64_t read, bad;
};

static enum rl_ran spin(struct probe *p, struct rl_task *t)
{
	struct race *race = (struct race *)p;
	if (race->turns-- == 0)
		return RL_RAN_ENDED;
	t->reason = RL_REASON_YIELD;
	rl_ready_last(&p->shard, t);
	return RL_RAN_PARKED;
}

static void read_once(struct race *race)
{
	struct rl_tracelog log = rl_recorder_log(race->r, 0);
	uint64_t out[2 * 64];
	uint64_t to = log.next, from = to > 64 ? to - 64 : 0;
	rl_tracelog_copy(&log, from, to - from, out);
	uint64_t oldest = rl_tracelog_oldest(&log);
	for (uint64_t i = from > oldest ? from : oldest; i < to; i++) {
		unsigned kind = (unsigned)(out[2 * (i - from)] & 255);
		race->bad += kind == RL_TRACE_NONE || kind >= RL_TRACE_KINDS;
		race->read++;
	}
}

static void race_end(void *arg, unsigned index)
{
	struct race *race = arg;
	if (index == 0) {
		rl_shard_loop(&race->p.shard, &race->p.brk);
		atomic_store(&race->done, true);
		return;
	}
	while (!atomic_load(&race->done))
		read_once(race);
	read_once(race);
}

TEST(a_thread_reads_while_the_shard_runs)
{
	struct race race = {.r = new_recorder(1024)};
	probe_open(&race.p, spin);
	race.turns = torture_count(100000);
	CHECK_EQ(rl_trace_attach(&race.p.shard, race.r), 0);
	rl_task_new(&race.p.shard, 0);
	torture_run(2, race_end, &race);
	CHECK(race.read > 0);
	CHECK_EQ(race.bad, 0);
	probe_close(&race.p);
	rl_shared_put(&race.r->shared);
}

int main(void)
{
	RUN(a_story_in_order);
	RUN(a_sleep_ends_before_what_it_brings);
	RUN(nothing_is_recorded_after_detach_or_close);
	RUN(there_must_be_a_section);
	RUN(texts_are_written_once_until_there_is_no_room);
	RUN(a_log_is_behind_its_record);
	RUN(a_thread_reads_while_the_shard_runs);
	return FINISH();
}
