/* SPDX-License-Identifier: MIT */
/*
 * wheel: eight levels of 64 slots; a slot of level k spans 64^k ticks, so the levels together hold
 * every int64_t deadline and nothing lies beyond the top.
 *
 * A timer's tick is its deadline rounded up. It lives at the level of the highest base-64 digit in
 * which its tick differs from the wheel's, in the slot which that digit names.
 *
 * Invariants:
 * - Bit s of `bits[k]` is set iff slot s of level k holds a timer; bit k of `levels` iff bits[k] is
 *   not 0.
 * - A tick has one place at a time, and cascading keeps the order of a slot. So all timers of one
 *   tick are together, in the order set, and no sequence number is needed.
 * - No slot in use lies behind the wheel, so the lowest slot of the lowest level comes first, and
 *   everything in it fires before anything else.
 * - The level 0 slot of the wheel's own tick was emptied by the advance that reached it; it takes
 *   the late timers, whose deadline had passed when they were set.
 * - deadline_ns > base_ns for a set timer that is not late; <= base_ns for a late or a fired one.
 *   That tells cancel whether `len` counts the timer: late timers are not in `len`, since nothing
 *   tells them from fired ones.
 */
#include "base/wheel.h"

#include "base/check.h"

#include <stdlib.h>

#define DIGIT 6
#define SLOTS (1u << DIGIT)
#define LEVELS 8u
#define TICK_SHIFT __builtin_ctzll(RL_WHEEL_TICK_NS)

/* The parts of a slot being sorted: part[i] is NULL or a sorted run of 2^i timers. */
#define SORT_PARTS 32

_Static_assert((RL_WHEEL_TICK_NS & (RL_WHEEL_TICK_NS - 1)) == 0, "a tick is a power of two");
_Static_assert(RL_WHEEL_TICK_NS >= 1 << 16, "eight levels must hold every tick");
_Static_assert(SLOTS == 64, "a level's slots are the bits of one uint64_t");

struct rl_wheel {
	uint64_t tick;     /* of the last advance */
	int64_t base_ns;   /* when that tick began */
	int64_t now_ns;    /* of the last advance */
	unsigned long len; /* timers linked here, without the late ones */
	uint32_t levels;
	uint64_t bits[LEVELS];
	struct rl_list slot[LEVELS * SLOTS];
};

static struct rl_timer *timer_of(struct rl_list *link)
{
	return rl_container(link, struct rl_timer, link);
}

/* The first tick at or after `deadline_ns`, which is positive. */
static uint64_t tick_after(int64_t deadline_ns)
{
	return ((uint64_t)(deadline_ns - 1) >> TICK_SHIFT) + 1;
}

/* The last tick at or before `now_ns`; the end of time completes its tick. */
static uint64_t tick_reached(int64_t now_ns)
{
	uint64_t tick = (uint64_t)now_ns >> TICK_SHIFT;
	return now_ns == INT64_MAX ? tick + 1 : tick;
}

static int64_t tick_ns(uint64_t tick)
{
	uint64_t ns = tick << TICK_SHIFT;
	return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

/* The slot, counted over all levels, that holds the earliest timers; the wheel is not empty. */
static unsigned slot_first(const struct rl_wheel *w)
{
	unsigned level = (unsigned)__builtin_ctz(w->levels);
	return level * SLOTS + (unsigned)__builtin_ctzll(w->bits[level]);
}

/* The tick at which slot i begins, for the wheel's present tick. */
static uint64_t slot_tick(const struct rl_wheel *w, unsigned i)
{
	unsigned shift = i / SLOTS * DIGIT;
	return (w->tick >> shift >> DIGIT << DIGIT | i % SLOTS) << shift;
}

static void slot_clear(struct rl_wheel *w, unsigned i)
{
	unsigned level = i / SLOTS;
	w->bits[level] &= ~(1ull << i % SLOTS);
	if (w->bits[level] == 0)
		w->levels &= ~(1u << level);
}

static inline void place(struct rl_wheel *w, struct rl_timer *t, uint64_t tick)
{
	unsigned top_bit = 63u - (unsigned)__builtin_clzll((tick ^ w->tick) | 1);
	unsigned level = top_bit / DIGIT;
	unsigned s = tick >> level * DIGIT & (SLOTS - 1);
	w->bits[level] |= 1ull << s;
	w->levels |= 1u << level;
	rl_list_push(&w->slot[level * SLOTS + s], &t->link);
}

static bool is_sorted(const struct rl_list *head)
{
	for (struct rl_list *l = head->next; l->next != head; l = l->next)
		if (timer_of(l)->deadline_ns > timer_of(l->next)->deadline_ns)
			return false;
	return true;
}

/* Merge two runs linked through `next` and ended by NULL; `a` goes first among equals. */
static struct rl_list *merge(struct rl_list *a, struct rl_list *b)
{
	struct rl_list *first = NULL, **end = &first;
	while (a && b) {
		struct rl_list **from = timer_of(a)->deadline_ns <= timer_of(b)->deadline_ns ? &a : &b;
		*end = *from;
		end = &(*from)->next;
		*from = *end;
	}
	*end = a ? a : b;
	return first;
}

/* Stable, by deadline: a bottom-up merge sort, for a slot whose timers were not set in order. */
static void sort(struct rl_list *head)
{
	struct rl_list *part[SORT_PARTS] = { NULL };
	for (struct rl_list *l = rl_list_pop(head); l; l = rl_list_pop(head)) {
		unsigned i = 0;
		l->next = NULL;
		for (; i < SORT_PARTS - 1 && part[i]; i++) {
			l = merge(part[i], l);
			part[i] = NULL;
		}
		part[i] = merge(part[i], l);
	}
	struct rl_list *all = NULL;
	for (unsigned i = 0; i < SORT_PARTS; i++)
		all = merge(part[i], all);
	while (all) {
		struct rl_list *next = all->next;
		rl_list_push(head, all);
		all = next;
	}
}

/* Move the timers of a level 0 slot, all of one tick, to `due`. */
static void fire(struct rl_wheel *w, unsigned i, struct rl_list *due)
{
	struct rl_list *head = &w->slot[i];
	if (head->next != head->prev && !is_sorted(head))
		sort(head);
	for (struct rl_list *l = rl_list_pop(head); l; l = rl_list_pop(head)) {
		w->len -= timer_of(l)->deadline_ns > w->base_ns;
		rl_list_push(due, l);
	}
	slot_clear(w, i);
}

/* The wheel has come to slot i of an upper level: move its timers down. */
static void cascade(struct rl_wheel *w, unsigned i, uint64_t tick)
{
	struct rl_list timers;
	rl_list_init(&timers);
	rl_list_take(&timers, &w->slot[i]);
	slot_clear(w, i);
	w->tick = tick;
	for (struct rl_list *l = rl_list_pop(&timers); l; l = rl_list_pop(&timers))
		place(w, timer_of(l), tick_after(timer_of(l)->deadline_ns));
}

struct rl_wheel *rl_wheel_new(int64_t now_ns)
{
	struct rl_wheel *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->now_ns = now_ns < 0 ? 0 : now_ns;
	w->tick = tick_reached(w->now_ns);
	w->base_ns = tick_ns(w->tick);
	for (unsigned i = 0; i < LEVELS * SLOTS; i++)
		rl_list_init(&w->slot[i]);
	return w;
}

void rl_wheel_free(struct rl_wheel *w)
{
	while (w && w->levels) {
		unsigned i = slot_first(w);
		while (rl_list_pop(&w->slot[i]))
			;
		slot_clear(w, i);
	}
	free(w);
}

void rl_wheel_set(struct rl_wheel *w, struct rl_timer *t, int64_t deadline_ns)
{
	RL_ASSERT(!rl_timer_is_set(t));
	if (__builtin_expect(deadline_ns <= w->now_ns, 0)) {
		t->deadline_ns = deadline_ns < w->base_ns ? deadline_ns : w->base_ns;
		place(w, t, w->tick);
		return;
	}
	t->deadline_ns = deadline_ns;
	w->len++;
	place(w, t, tick_after(deadline_ns));
}

void rl_wheel_cancel(struct rl_wheel *w, struct rl_timer *t)
{
	struct rl_list *prev = t->link.prev;
	if (!rl_timer_is_set(t))
		return;
	w->len -= t->deadline_ns > w->base_ns;
	rl_list_remove(&t->link);
	/* A node that is left alone is a head: a slot's, or that of a `due` list outside the wheel. */
	uintptr_t at = (uintptr_t)prev - (uintptr_t)w->slot;
	if (rl_list_empty(prev) && at < sizeof w->slot)
		slot_clear(w, (unsigned)(at / sizeof *prev));
}

void rl_wheel_advance(struct rl_wheel *w, int64_t now_ns, struct rl_list *due)
{
	if (now_ns > w->now_ns)
		w->now_ns = now_ns;
	uint64_t target = tick_reached(w->now_ns);
	while (w->levels) {
		unsigned i = slot_first(w);
		uint64_t tick = slot_tick(w, i);
		if (tick > target)
			break;
		if (i < SLOTS)
			fire(w, i, due);
		else
			cascade(w, i, tick);
	}
	w->tick = target;
	w->base_ns = tick_ns(target);
}

int64_t rl_wheel_next(const struct rl_wheel *w)
{
	if (!w->levels)
		return -1;
	unsigned i = slot_first(w);
	const struct rl_list *head = &w->slot[i];
	if (i >= SLOTS && head->next == head->prev) /* alone, and so the first of all */
		return tick_ns(tick_after(timer_of(head->next)->deadline_ns));
	return tick_ns(slot_tick(w, i));
}

unsigned long rl_wheel_len(const struct rl_wheel *w)
{
	const struct rl_list *late = &w->slot[w->tick % SLOTS];
	unsigned long n = w->len;
	for (const struct rl_list *l = late->next; l != late; l = l->next)
		n++;
	return n;
}
