/* SPDX-License-Identifier: MIT */
/*
 * tracelog: what is copied is what was written, also when the writer overtakes the reader.
 * tracelog_model_test has every order of a few operations.
 */
#include "base/tracelog.h"

#include "check.h"
#include "torture.h"

enum { SIZE = 64 };

static RL_ATOMIC(uint64_t) words[2 * SIZE], head;

static struct rl_tracelog new_log(void)
{
	memset(words, 0, sizeof words);
	RL_STORE(&head, 0, relaxed);
	return (struct rl_tracelog){.head = &head, .words = words, .mask = SIZE - 1};
}

TEST(what_is_written_is_copied)
{
	struct rl_tracelog log = new_log();
	uint64_t out[2 * SIZE];
	CHECK_EQ(rl_tracelog_head(&log), 0);
	CHECK_EQ(rl_tracelog_oldest(&log), 0);
	for (uint64_t i = 0; i < 10; i++)
		rl_tracelog_put(&log, i, 100 + i);
	CHECK_EQ(rl_tracelog_head(&log), 10);
	rl_tracelog_copy(&log, 3, 7, out);
	for (uint64_t i = 0; i < 7; i++) {
		CHECK_EQ(out[2 * i], 3 + i);
		CHECK_EQ(out[2 * i + 1], 103 + i);
	}
}

TEST(the_oldest_are_overwritten)
{
	struct rl_tracelog log = new_log();
	uint64_t out[2 * SIZE];
	for (uint64_t i = 0; i < SIZE; i++) {
		CHECK_EQ(rl_tracelog_oldest(&log), 0);
		rl_tracelog_put(&log, i, i);
	}
	/* Full: the first is where the next is written. */
	CHECK_EQ(rl_tracelog_oldest(&log), 1);
	for (uint64_t i = SIZE; i < 1000; i++)
		rl_tracelog_put(&log, i, i);
	CHECK_EQ(rl_tracelog_oldest(&log), 1000 - SIZE + 1);
	rl_tracelog_copy(&log, 1000 - SIZE + 1, SIZE - 1, out);
	for (uint64_t i = 0; i < SIZE - 1; i++)
		CHECK_EQ(out[2 * i], 1000 - SIZE + 1 + i);
}

struct race {
	struct rl_tracelog log;
	uint32_t count;
	atomic_bool done;
	uint64_t believed, torn;
};

static void read_all(struct race *r)
{
	const struct rl_tracelog *log = &r->log;
	uint64_t out[2 * SIZE];
	uint64_t to = rl_tracelog_head(log), from = to > SIZE ? to - SIZE : 0;
	rl_tracelog_copy(log, from, to - from, out);
	uint64_t oldest = rl_tracelog_oldest(log);
	for (uint64_t i = from > oldest ? from : oldest; i < to; i++) {
		uint64_t first = out[2 * (i - from)], second = out[2 * (i - from) + 1];
		r->torn += first != i || second != ~i;
		r->believed++;
	}
}

static void race_end(void *arg, unsigned index)
{
	struct race *r = arg;
	if (index > 0) {
		while (!atomic_load(&r->done))
			read_all(r);
		read_all(r);
		return;
	}
	for (uint64_t i = 0; i < r->count; i++) {
		rl_tracelog_put(&r->log, i, ~i);
		if (i % 1024 == 0)
			sched_yield();
	}
	atomic_store(&r->done, true);
}

TEST(a_reader_that_is_overtaken_believes_nothing_wrong)
{
	struct race r = {.log = new_log(), .count = torture_count(2000000)};
	torture_run(2, race_end, &r);
	CHECK_EQ(r.torn, 0);
	CHECK(r.believed >= SIZE - 1);
}

int main(void)
{
	RUN(what_is_written_is_copied);
	RUN(the_oldest_are_overwritten);
	RUN(a_reader_that_is_overtaken_believes_nothing_wrong);
	return FINISH();
}
