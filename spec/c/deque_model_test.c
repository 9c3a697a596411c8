/* SPDX-License-Identifier: MIT */
/*
 * deque, in every order of a few operations (see interleave.h): each item is got once, with all
 * that was done before it was pushed; and every weaker source but three is found out.
 */
#include "interleave.h"

#define RL_DEQUE_SIZE 2
#include "base/deque.c"

/* What is noted: PUSHED + i or FULL + i for a push, and i, EMPTY or LOST for the rest. */
enum { ITEMS = 4, PUSHED = 10, FULL = 20, EMPTY = 30, LOST = 31 };

static struct rl_deque deque;
static uint64_t items[ITEMS];

static void init(void)
{
	rl_deque_init(&deque);
}

/* Positions that are about to wrap round. */
static void init_last(void)
{
	rl_deque_init(&deque);
	deque.top = deque.bottom = deque.top_seen = UINT64_MAX;
}

/* An item carries its number. */
static void push(unsigned i)
{
	RL_WRITE(&items[i], i);
	il_note(rl_deque_push(&deque, &items[i]) ? PUSHED + i : FULL + i);
}

static void *got(void *item)
{
	if (!item || item == RL_DEQUE_LOST)
		il_note(item ? LOST : EMPTY);
	else
		il_note(RL_READ((uint64_t *)item));
	return item;
}

static void pop(void)
{
	got(rl_deque_pop(&deque));
}

static void steal(void)
{
	got(rl_deque_steal(&deque));
}

static void steal_two(void)
{
	steal();
	steal();
}

static void drain(void)
{
	while (got(rl_deque_pop(&deque)))
		;
}

static void drain_oldest_first(void)
{
	while (got(rl_deque_take(&deque)))
		;
}

static void owner_pops_one(void)
{
	push(0);
	pop();
	push(1);
}

static void owner_pops_two(void)
{
	push(0);
	push(1);
	pop();
	pop();
}

static void owner_pops_and_pushes(void)
{
	push(0);
	push(1);
	pop();
	push(2);
}

static void owner_takes(void)
{
	push(0);
	push(1);
	got(rl_deque_take(&deque));
	pop();
}

static void owner_fills(void)
{
	push(0);
	push(1);
	push(2);
	push(3);
}

/* How many items a thread got. */
static unsigned gains(const struct il_outcome *o)
{
	unsigned n = 0;
	for (unsigned i = 0; i < o->count; i++)
		n += o->note[i] < ITEMS;
	return n;
}

/* The owner finds nothing only if the thieves have all the rest. */
static bool empty_too_early(const struct il_outcome *o)
{
	unsigned left = 0, stolen = gains(&o[1]) + gains(&o[2]);
	for (unsigned i = 0; i < o->count; i++) {
		uint64_t n = o->note[i];
		left += n >= PUSHED && n < PUSHED + ITEMS;
		left -= n < ITEMS;
		if (n == EMPTY && left > stolen)
			return true;
	}
	return false;
}

/* Thread 0 is the owner, 1 and 2 are thieves; 2 may be `after`, which also gets items. */
static const char *wrong(const struct il_outcome *o)
{
	unsigned pushed[ITEMS] = { 0 }, taken[ITEMS] = { 0 };
	for (unsigned thread = 0; thread < 4; thread++) {
		uint64_t last = 0;
		for (unsigned i = 0; i < o[thread].count; i++) {
			uint64_t n = o[thread].note[i];
			if (n < ITEMS)
				taken[n]++;
			if (n >= PUSHED && n < PUSHED + ITEMS)
				pushed[n - PUSHED]++;
			if (thread == 1 && n < ITEMS && n < last)
				return "stolen in another order";
			if (thread == 1 && n < ITEMS)
				last = n;
		}
	}
	for (unsigned i = 0; i < ITEMS; i++)
		if (taken[i] != pushed[i])
			return taken[i] > pushed[i] ? "an item was got twice" : "an item was lost";
	return empty_too_early(o) ? "empty with items in it" : NULL;
}

static const struct il_program programs[] = {
	{ "pop one | steal", init, { owner_pops_one, steal }, drain, wrong },
	{ "pop one | steal, steal", init_last, { owner_pops_one, steal_two }, drain, wrong },
	{ "pop one | steal | steal", init, { owner_pops_one, steal, steal }, drain, wrong },
	{ "pop two | steal, steal", init_last, { owner_pops_two, steal_two }, drain, wrong },
	{ "pop two | steal | steal", init, { owner_pops_two, steal, steal }, drain, wrong },
	{ "pop, push | steal, steal", init, { owner_pops_and_pushes, steal_two }, drain, wrong },
	{ "take, pop | steal | steal", init, { owner_takes, steal, steal }, drain, wrong },
	{ "fill | steal, steal", init_last, { owner_fills, steal_two }, drain_oldest_first, wrong },
	{ "fill | steal | steal", init, { owner_fills, steal, steal }, drain_oldest_first, wrong },
};

enum { PROGRAMS = sizeof programs / sizeof *programs };

TEST(right_in_every_order)
{
	il_check(programs, PROGRAMS);
}

TEST(every_weaker_source_is_found_out)
{
	static const struct il_survivor survivors[] = {
		{ "rl_deque_steal", "&d->top", false, "the fence after it is an acquire too" },
		{ "deque_claim", "&d->top", false, "here a load never reads what is stored later" },
		{ "rl_deque_room", "&d->top", false, "the same: it pairs with the swap" },
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
