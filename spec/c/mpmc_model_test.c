/* SPDX-License-Identifier: MIT */
/*
 * mpmc, in every order of a few operations (see interleave.h): each value is popped once, those of
 * one producer in order, never more are held than the capacity; the barriers of push and pop lose
 * no wake-up; and every weaker source is found out.
 */
#include "interleave.h"

#include "base/mpmc.c"

/* Values are 10 * the producer + 1, 2, ...; noted as PUSHED or FULL + value, or by itself by who
 * pops it. */
enum { VALUES = 40, PUSHED = 100, FULL = 200, EMPTY = 300, AWAKE, SLEEPING, READY };

static struct rl_mpmc queue;
static uint32_t waiting;

static void init_at(uint32_t capacity, uint64_t position)
{
	rl_mpmc_term(&queue);
	rl_mpmc_init(&queue, capacity);
	queue.head = queue.tail = position;
	for (uint64_t i = 0; i <= queue.mask; i++) {
		uint64_t first = position + ((i - position) & queue.mask);
		queue.slot[i].turn = first & ~queue.mask;
	}
}

static void init_one(void)
{
	init_at(1, 0);
}

static void init_two(void)
{
	init_at(2, UINT64_MAX / 4);
}

static void init_three(void)
{
	init_at(3, UINT64_MAX / 4);
}

static void push(unsigned value)
{
	struct rl_mpmc_item item = {{ value, 2 * value, 3 * value }};
	il_note((rl_mpmc_push(&queue, &item) ? PUSHED : FULL) + value);
}

static bool pop(void)
{
	struct rl_mpmc_item item;
	bool popped = rl_mpmc_pop(&queue, &item);
	if (!popped)
		il_note(EMPTY);
	else if (item.word[1] == 2 * item.word[0] && item.word[2] == 3 * item.word[0])
		il_note(item.word[0]);
	else
		il_note(0);
	return popped;
}

static void push_1(void)
{
	push(11);
}

static void push_1_2(void)
{
	push(11);
	push(12);
}

static void other_push_1(void)
{
	push(21);
}

static void other_push_1_2(void)
{
	push(21);
	push(22);
}

static void pop_1(void)
{
	pop();
}

static void pop_2(void)
{
	pop();
	pop();
}

static void push_pop(void)
{
	push(11);
	pop();
}

static void other_push_pop(void)
{
	push(21);
	pop();
}

static void drain(void)
{
	while (pop())
		;
}

/* Values of one producer have been popped by one consumer in the order pushed. */
static bool in_order(const struct il_outcome *o)
{
	uint64_t last[VALUES / 10] = { 0 };
	for (unsigned i = 0; i < o->count; i++) {
		uint64_t n = o->note[i];
		if (n < VALUES && n < last[n / 10])
			return false;
		if (n < VALUES)
			last[n / 10] = n;
	}
	return true;
}

/* How many values were left for `after`, which is the last with notes. */
static unsigned values_left(const struct il_outcome *o)
{
	unsigned last = IL_THREADS - 1, n = 0;
	while (o[last].count == 0)
		last--;
	for (unsigned i = 0; i < o[last].count; i++)
		n += o[last].note[i] < VALUES;
	return n;
}

static const char *wrong(const struct il_outcome *o)
{
	unsigned pushed[VALUES] = { 0 }, popped[VALUES] = { 0 };
	for (unsigned thread = 0; thread < IL_THREADS; thread++) {
		for (unsigned i = 0; i < o[thread].count; i++) {
			uint64_t n = o[thread].note[i];
			if (n < VALUES)
				popped[n]++;
			if (n >= PUSHED && n < FULL)
				pushed[n - PUSHED]++;
		}
		if (!in_order(&o[thread]))
			return "popped in another order";
	}
	for (unsigned i = 0; i < VALUES; i++)
		if (pushed[i] != popped[i])
			return popped[i] > pushed[i] ? "a value was popped twice" : "a value was lost";
	return values_left(o) > queue.capacity ? "more values than the capacity" : NULL;
}

/* With nobody popping, there is room for just the capacity. */
static const char *wrong_if_not_full(const struct il_outcome *o)
{
	const char *why = wrong(o);
	return why || values_left(o) == queue.capacity ? why : "full with room in it";
}

/* Nobody who waits is overlooked. */
static void push_and_wake(void)
{
	push(11);
	il_note(RL_LOAD(&waiting, relaxed) ? SLEEPING : AWAKE);
}

static void other_push_and_wake(void)
{
	push(21);
	il_note(RL_LOAD(&waiting, relaxed) ? SLEEPING : AWAKE);
}

static void pop_and_wake(void)
{
	pop();
	il_note(RL_LOAD(&waiting, relaxed) ? SLEEPING : AWAKE);
}

static void wait_for_a_value(void)
{
	RL_STORE(&waiting, 1, relaxed);
	RL_FENCE(seq_cst);
	pop();
}

static void wait_for_room(void)
{
	RL_STORE(&waiting, 1, relaxed);
	RL_FENCE(seq_cst);
	push(31);
}

static void init_full(void)
{
	init_at(1, 0);
	queue.tail = 1;
	queue.slot[0].turn = 1;
	queue.slot[0].item = (struct rl_mpmc_item){{ 1, 2, 3 }};
}

static void init_full_two(void)
{
	init_at(2, 0);
	queue.tail = 2;
	for (unsigned i = 0; i < 2; i++) {
		queue.slot[i].turn = 1;
		queue.slot[i].item = (struct rl_mpmc_item){{ i + 1, 2 * i + 2, 3 * i + 3 }};
	}
}

/* The last thread waits; somebody else succeeded last and has seen that. */
static const char *asleep(const struct il_outcome *o)
{
	unsigned last = o[2].count ? 2 : 1;
	bool failed = o[last].note[0] == EMPTY || o[last].note[0] >= FULL;
	for (unsigned i = 0; i < last; i++)
		if (o[i].note[1] == SLEEPING)
			return NULL;
	return failed ? "asleep for ever" : NULL;
}

static const struct il_program programs[] = {
	{ "1: push | pop", init_one, { push_1, pop_1 }, drain, wrong },
	{ "1: push 2 | pop 2", init_one, { push_1_2, pop_2 }, drain, wrong },
	{ "2: push 2 | pop 2", init_two, { push_1_2, pop_2 }, drain, wrong },
	{ "1: push | push", init_one, { push_1, other_push_1 }, drain, wrong_if_not_full },
	{ "2: push 2 | push", init_two, { push_1_2, other_push_1 }, drain, wrong_if_not_full },
	{ "3: push 2 | push 2", init_three, { push_1_2, other_push_1_2 }, drain, wrong_if_not_full },
	{ "1: push, pop | push, pop", init_one, { push_pop, other_push_pop }, drain, wrong },
	{ "2: push | push | pop", init_two, { push_1, other_push_1, pop_1 }, drain, wrong },
	{ "1: push | push | pop", init_one, { push_1, other_push_1, pop_1 }, drain, wrong },
	{ "2: push 2 | pop | pop", init_two, { push_1_2, pop_1, pop_1 }, drain, wrong },
	{ "3: push 2 | push 2 | pop", init_three, { push_1_2, other_push_1_2, pop_1 }, drain, wrong },
	{ "push | wait", init_one, { push_and_wake, wait_for_a_value }, NULL, asleep },
	{ "pop | wait", init_full, { pop_and_wake, wait_for_room }, NULL, asleep },
	{ "push | push | wait", init_two, { push_and_wake, other_push_and_wake, wait_for_a_value },
		NULL, asleep },
	{ "pop | pop | wait", init_full_two, { pop_and_wake, pop_and_wake, wait_for_room }, NULL,
		asleep },
	{ "1: push | push | pop | pop", init_one, { push_1, other_push_1, pop_1, pop_1 }, drain,
		wrong },
	{ "2: push | push | pop | pop", init_two, { push_1, other_push_1, pop_1, pop_1 }, drain,
		wrong },
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
	rl_mpmc_term(&queue);
	il_end();
	return FINISH();
}
