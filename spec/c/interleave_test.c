/* SPDX-License-Identifier: MIT */
/*
 * interleave itself: the litmus tests of the literature. What C11 allows is found, what it forbids
 * is not, and a race is one. Without this, a model in which nothing weak happens would pass all.
 */
#include "interleave.h"

static uint64_t x, y;
static uint64_t data;

static void init(void)
{
}

/* What the threads 0 and 1 note, and so on: the outcome in question. */
static const char *both_zero(const struct il_outcome *o)
{
	return o[0].note[0] == 0 && o[1].note[0] == 0 ? "seen" : NULL;
}

static const char *one_then_zero(const struct il_outcome *o)
{
	return o[1].note[0] == 1 && o[1].note[1] == 0 ? "seen" : NULL;
}

static const char *readers_disagree(const struct il_outcome *o)
{
	return o[2].note[0] == 1 && o[2].note[1] == 0 && o[3].note[0] == 1 && o[3].note[1] == 0 ? "seen"
		: NULL;
}

static const char *not_two(const struct il_outcome *o)
{
	return o[2].note[0] == 2 ? NULL : "seen";
}

static const char *never(const struct il_outcome *o)
{
	(void)o;
	return NULL;
}

static bool seen(void (*first)(void), void (*second)(void),
	const char *(*wrong)(const struct il_outcome *o))
{
	struct il_program p = { "litmus", init, { first, second }, NULL, wrong };
	double ways;
	return !il_search(&p, &ways);
}

static void store_x_load_y(void)
{
	RL_STORE(&x, 1, release);
	il_note(RL_LOAD(&y, acquire));
}

static void store_y_load_x(void)
{
	RL_STORE(&y, 1, release);
	il_note(RL_LOAD(&x, acquire));
}

static void store_x_fence_load_y(void)
{
	RL_STORE(&x, 1, relaxed);
	RL_FENCE(seq_cst);
	il_note(RL_LOAD(&y, relaxed));
}

static void store_y_fence_load_x(void)
{
	RL_STORE(&y, 1, relaxed);
	RL_FENCE(seq_cst);
	il_note(RL_LOAD(&x, relaxed));
}

TEST(store_buffering)
{
	CHECK(seen(store_x_load_y, store_y_load_x, both_zero));
	CHECK(seen(store_x_fence_load_y, store_y_load_x, both_zero));
	CHECK(!seen(store_x_fence_load_y, store_y_fence_load_x, both_zero));
}

static void store_both(void)
{
	RL_STORE(&x, 1, relaxed);
	RL_STORE(&y, 1, relaxed);
}

static void store_and_release(void)
{
	RL_STORE(&x, 1, relaxed);
	RL_STORE(&y, 1, release);
}

static void store_fence_store(void)
{
	RL_STORE(&x, 1, relaxed);
	RL_FENCE(release);
	RL_STORE(&y, 1, relaxed);
}

static void load_both(void)
{
	il_note(RL_LOAD(&y, relaxed));
	il_note(RL_LOAD(&x, relaxed));
}

static void acquire_and_load(void)
{
	il_note(RL_LOAD(&y, acquire));
	il_note(RL_LOAD(&x, relaxed));
}

static void load_fence_load(void)
{
	il_note(RL_LOAD(&y, relaxed));
	RL_FENCE(acquire);
	il_note(RL_LOAD(&x, relaxed));
}

TEST(message_passing)
{
	CHECK(seen(store_both, load_both, one_then_zero));
	CHECK(seen(store_both, acquire_and_load, one_then_zero));
	CHECK(seen(store_and_release, load_both, one_then_zero));
	CHECK(!seen(store_and_release, acquire_and_load, one_then_zero));
	CHECK(!seen(store_and_release, load_fence_load, one_then_zero));
	CHECK(!seen(store_fence_store, acquire_and_load, one_then_zero));
	CHECK(!seen(store_fence_store, load_fence_load, one_then_zero));
}

static void store_x(void)
{
	RL_STORE(&x, 1, relaxed);
}

static void load_x_twice(void)
{
	il_note(RL_LOAD(&x, relaxed));
	il_note(RL_LOAD(&x, relaxed));
}

TEST(one_place_never_goes_back)
{
	CHECK(!seen(store_x, load_x_twice, one_then_zero));
}

static void store_y(void)
{
	RL_STORE(&y, 1, relaxed);
}

static void acquire_x_and_y(void)
{
	il_note(RL_LOAD(&x, acquire));
	il_note(RL_LOAD(&y, acquire));
}

static void acquire_y_and_x(void)
{
	il_note(RL_LOAD(&y, acquire));
	il_note(RL_LOAD(&x, acquire));
}

static void load_x_fence_load_y(void)
{
	il_note(RL_LOAD(&x, relaxed));
	RL_FENCE(seq_cst);
	il_note(RL_LOAD(&y, relaxed));
}

static void load_y_fence_load_x(void)
{
	il_note(RL_LOAD(&y, relaxed));
	RL_FENCE(seq_cst);
	il_note(RL_LOAD(&x, relaxed));
}

TEST(independent_reads_of_independent_writes)
{
	static const struct il_program weak = { "acquire", init,
		{ store_x, store_y, acquire_x_and_y, acquire_y_and_x }, NULL, readers_disagree };
	static const struct il_program strong = { "fences", init,
		{ store_x, store_y, load_x_fence_load_y, load_y_fence_load_x }, NULL, readers_disagree };
	double ways;
	CHECK(!il_search(&weak, &ways));
	CHECK(il_search(&strong, &ways));
}

static void add_one(void)
{
	uint64_t old = RL_LOAD(&x, relaxed);
	while (!RL_CAS(&x, &old, old + 1, relaxed))
		;
}

static void add_one_by_store(void)
{
	RL_STORE(&x, RL_LOAD(&x, relaxed) + 1, relaxed);
}

static void note_x(void)
{
	il_note(RL_LOAD(&x, relaxed));
}

TEST(a_swap_is_one_step)
{
	static const struct il_program swaps = { "swaps", init, { add_one, add_one }, note_x, not_two };
	static const struct il_program stores = { "stores", init,
		{ add_one_by_store, add_one_by_store }, note_x, not_two };
	double ways;
	CHECK(il_search(&swaps, &ways));
	CHECK(!il_search(&stores, &ways));
}

static void write_and_release(void)
{
	RL_WRITE(&data, 7);
	RL_STORE(&y, 1, release);
}

static void write_and_store(void)
{
	RL_WRITE(&data, 7);
	RL_STORE(&y, 1, relaxed);
}

static void swap_y(void)
{
	uint64_t one = 1;
	RL_CAS(&y, &one, 2, relaxed);
}

static void acquire_one_and_read(void)
{
	if (RL_LOAD(&y, acquire) == 1)
		il_note(RL_READ(&data));
}

static void acquire_two_and_read(void)
{
	if (RL_LOAD(&y, acquire) == 2)
		il_note(RL_READ(&data));
}

static void acquire_one_and_write(void)
{
	if (RL_LOAD(&y, acquire) == 1)
		RL_WRITE(&data, 8);
}

static void read_and_release(void)
{
	il_note(RL_READ(&data));
	RL_STORE(&y, 1, release);
}

static void read_and_store(void)
{
	il_note(RL_READ(&data));
	RL_STORE(&y, 1, relaxed);
}

TEST(a_race_is_one_unless_ordered)
{
	CHECK(!seen(write_and_release, acquire_one_and_read, never));
	CHECK(seen(write_and_store, acquire_one_and_read, never));
	CHECK(!seen(read_and_release, acquire_one_and_write, never));
	CHECK(seen(read_and_store, acquire_one_and_write, never));
}

TEST(a_swap_passes_on_what_was_released)
{
	static const struct il_program passed = { "passed on", init,
		{ write_and_release, swap_y, acquire_two_and_read }, NULL, never };
	double ways;
	CHECK(il_search(&passed, &ways));
}

/* Three threads of two accesses each, none of which is seen by another: 6! / (2! 2! 2!). */
static void store_twice(void)
{
	static uint32_t own[3];
	RL_STORE(&own[il.running], 1, relaxed);
	RL_STORE(&own[il.running], 2, relaxed);
}

TEST(interleavings_are_counted)
{
	static const struct il_program p = { "counted", init, { store_twice, store_twice, store_twice },
		NULL, never };
	double ways;
	CHECK(il_search(&p, &ways));
	CHECK_EQ(ways, 90);
}

int main(void)
{
	il.quiet = true;
	RUN(store_buffering);
	RUN(message_passing);
	RUN(one_place_never_goes_back);
	RUN(independent_reads_of_independent_writes);
	RUN(a_swap_is_one_step);
	RUN(a_race_is_one_unless_ordered);
	RUN(a_swap_passes_on_what_was_released);
	RUN(interleavings_are_counted);
	il_end();
	return FINISH();
}
