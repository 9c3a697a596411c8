/* SPDX-License-Identifier: MIT */
/*
 * spsc, in every order of a few operations (see interleave.h): what is pushed is popped, once and
 * in order, with all that was done before; the fence that the header asks of its callers loses no
 * wake-up; and every weaker source is found out.
 */
#include "interleave.h"

#include "base/spsc.c"

/* What is noted by the producer: whether each push had room; by the others: each item popped. */
enum { ITEMS = 3, MANY = 2, PUSHED = 10, FULL = 20, AWAKE = 30, SLEEPING, EMPTY, READY };

static struct rl_spsc *queue;
static uint64_t items[ITEMS];
static uint32_t sleeping;

static void init_at(uint32_t capacity, uint64_t position)
{
	rl_spsc_free(queue);
	queue = rl_spsc_new(capacity);
	queue->head = queue->tail = queue->head_seen = queue->tail_seen = position;
}

static void init_one(void)
{
	init_at(1, 0);
}

static void init_two(void)
{
	init_at(2, UINT64_MAX);
}

static void push(unsigned i)
{
	RL_WRITE(&items[i], i);
	il_note(rl_spsc_push(queue, &items[i]) ? PUSHED + i : FULL + i);
}

static void push_all(void)
{
	for (unsigned i = 0; i < ITEMS; i++)
		push(i);
}

static bool pop(void)
{
	void *item = NULL;
	bool popped = rl_spsc_pop(queue, &item);
	if (popped)
		il_note(RL_READ((uint64_t *)item));
	return popped;
}

static void pop_some(void)
{
	for (unsigned i = 0; i < ITEMS; i++)
		pop();
}

static unsigned pop_many(void)
{
	void *out[MANY];
	unsigned n = rl_spsc_pop_many(queue, out, MANY);
	for (unsigned i = 0; i < n; i++)
		il_note(RL_READ((uint64_t *)out[i]));
	return n;
}

static void pop_many_twice(void)
{
	pop_many();
	pop_many();
}

static void drain(void)
{
	while (pop())
		;
}

static void drain_many(void)
{
	while (pop_many() > 0)
		;
}

/* The consumer has popped what the producer pushed, in order. */
static const char *wrong(const struct il_outcome *o)
{
	uint64_t pushed[ITEMS], popped[2 * ITEMS] = { 0 };
	unsigned in = 0, out = 0;
	for (unsigned i = 0; i < o[0].count; i++)
		if (o[0].note[i] < FULL)
			pushed[in++] = o[0].note[i] - PUSHED;
	for (unsigned thread = 1; thread <= 2; thread++)
		for (unsigned i = 0; i < o[thread].count; i++)
			popped[out++ % (2 * ITEMS)] = o[thread].note[i];
	if (in != out)
		return in > out ? "an item was lost" : "an item was popped twice";
	return memcmp(pushed, popped, in * sizeof *popped) == 0 ? NULL : "popped in another order";
}

/* A producer as the header wants it: whether it wakes the consumer is what it notes. */
static void push_and_wake(void)
{
	rl_spsc_push(queue, &items[0]);
	RL_FENCE(seq_cst);
	il_note(RL_LOAD(&sleeping, relaxed) ? SLEEPING : AWAKE);
}

static void sleep_if_empty(void)
{
	RL_STORE(&sleeping, 1, relaxed);
	RL_FENCE(seq_cst);
	il_note(rl_spsc_empty(queue) ? EMPTY : READY);
}

/* The same for room, in a full ring of one. */
static void pop_and_wake(void)
{
	void *item;
	rl_spsc_pop(queue, &item);
	RL_FENCE(seq_cst);
	il_note(RL_LOAD(&sleeping, relaxed) ? SLEEPING : AWAKE);
}

static void sleep_if_full(void)
{
	RL_STORE(&sleeping, 1, relaxed);
	RL_FENCE(seq_cst);
	il_note(rl_spsc_push(queue, &items[1]) ? READY : EMPTY);
}

static void init_full(void)
{
	init_at(1, 0);
	queue->tail = 1;
	queue->slot[0] = &items[0];
}

static const char *asleep(const struct il_outcome *o)
{
	bool woken = o[0].note[0] == SLEEPING;
	return !woken && o[1].note[0] == EMPTY ? "asleep for ever" : NULL;
}

static const struct il_program programs[] = {
	{ "1: push 3 | pop 3", init_one, { push_all, pop_some }, drain, wrong },
	{ "2: push 3 | pop 3", init_two, { push_all, pop_some }, drain_many, wrong },
	{ "1: push 3 | pop many", init_one, { push_all, pop_many_twice }, drain, wrong },
	{ "2: push 3 | pop many", init_two, { push_all, pop_many_twice }, drain_many, wrong },
	{ "push, wake | sleep", init_one, { push_and_wake, sleep_if_empty }, NULL, asleep },
	{ "pop, wake | sleep", init_full, { pop_and_wake, sleep_if_full }, NULL, asleep },
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
	rl_spsc_free(queue);
	il_end();
	return FINISH();
}
