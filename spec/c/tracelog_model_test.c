/* SPDX-License-Identifier: MIT */
/*
 * tracelog, in every order of a few operations (see interleave.h): a reader that the writer
 * overtakes believes no record that is not whole; and every weaker source is found out.
 */
#include "interleave.h"

#include "base/tracelog.c"

enum { SIZE = 2, WRITTEN = 2, PUTS = 3 };

static uint64_t words[2 * SIZE], head;
static struct rl_tracelog ring;

static uint64_t word_of(uint64_t record)
{
	return record + 1;
}

/* A ring that is full. */
static void init(void)
{
	ring = (struct rl_tracelog){.head = &head, .words = words, .mask = SIZE - 1, .next = WRITTEN};
	head = WRITTEN;
	for (unsigned i = 0; i < 2 * SIZE; i++)
		words[i] = word_of(i / 2);
}

static void write_some(void)
{
	for (unsigned i = 0; i < PUTS; i++)
		rl_tracelog_put(&ring, word_of(WRITTEN + i), word_of(WRITTEN + i));
}

/* Notes the records that are believed: number, first and second word. */
static void read_ring(void)
{
	uint64_t out[2 * SIZE];
	uint64_t to = rl_tracelog_head(&ring), from = to - SIZE;
	rl_tracelog_copy(&ring, from, SIZE, out);
	uint64_t oldest = rl_tracelog_oldest(&ring);
	for (uint64_t i = from > oldest ? from : oldest; i < to; i++)
		il_note(i << 16 | out[2 * (i - from)] << 8 | out[2 * (i - from) + 1]);
}

static const char *wrong(const struct il_outcome *o)
{
	for (unsigned i = 0; i < o[1].count; i++) {
		uint64_t note = o[1].note[i], want = word_of(note >> 16);
		if ((note >> 8 & 255) != want || (note & 255) != want)
			return "a record is believed that is not whole";
	}
	return NULL;
}

static const struct il_program programs[] = {
	{ "2: put 3 | read", init, { write_some, read_ring }, NULL, wrong },
};

enum { PROGRAMS = sizeof programs / sizeof *programs };

TEST(right_in_every_order)
{
	il_check(programs, PROGRAMS);
}

TEST(every_weaker_source_is_found_out)
{
	static const struct il_survivor survivors[] = {
		{ 0 },
	};
	il_mutants(programs, PROGRAMS, survivors);
}

int main(void)
{
	RUN(right_in_every_order);
	RUN(every_weaker_source_is_found_out);
	il_end();
	return FINISH();
}
