/* SPDX-License-Identifier: MIT */
/*
 * wheel: a hierarchical timer wheel (Varghese and Lauck, 1987) with O(1) set and cancel.
 *
 * Deadlines are absolute monotonic ns. A timer never fires early: it fires at the first advance
 * whose `now_ns` is at or past its deadline rounded up to the tick (RL_WHEEL_TICK_NS). One whose
 * deadline has passed when it is set fires at the next advance, even with the same `now_ns`. Timers
 * that fire in one advance come out ordered by their exact deadline, and in the order set for equal
 * deadlines. Those late when set come first; a late deadline past the start of the present tick
 * counts as that start. Cancelling is unlinking, also from `due`.
 *
 * rl_wheel_next is exact enough to sleep on: never later than the first deadline rounded up to its
 * tick, after the last advance unless a timer is late, and an idle wheel causes no wake-up. Where
 * timers share a slot it may come before the first of them, at most once a level of the wheel.
 */
#ifndef RL_BASE_WHEEL_H
#define RL_BASE_WHEEL_H

#include "base/list.h"

#include <stdint.h>

#ifndef RL_WHEEL_TICK_NS
#define RL_WHEEL_TICK_NS (1 << 16) /* 65.5 us; a power of two, at least 1 << 16 */
#endif

struct rl_wheel; /* opaque, 8 KiB, heap */

struct rl_timer {
	struct rl_list link;   /* unlinked (pointing to itself) when not set */
	int64_t deadline_ns;   /* read-only; as set, unless late: see above */
};

struct rl_wheel *rl_wheel_new(int64_t now_ns);
void rl_wheel_free(struct rl_wheel *w); /* NULL is fine; set timers are unlinked */

static inline void rl_timer_init(struct rl_timer *t)
{
	rl_list_init(&t->link);
	t->deadline_ns = -1;
}

static inline bool rl_timer_is_set(const struct rl_timer *t)
{
	return !rl_list_empty(&t->link);
}

void rl_wheel_set(struct rl_wheel *w, struct rl_timer *t, int64_t deadline_ns); /* t not set */
void rl_wheel_cancel(struct rl_wheel *w, struct rl_timer *t);                   /* idempotent */

/*
 * Move every timer due at now_ns to the end of `due` (an initialised head), linked through
 * timer->link. A now_ns before the last one counts as the last one.
 */
void rl_wheel_advance(struct rl_wheel *w, int64_t now_ns, struct rl_list *due);

/* Absolute ns of the next advance that is worth making, -1 when no timer is set; O(1). */
int64_t rl_wheel_next(const struct rl_wheel *w);

/* Timers set and not yet moved to `due`; walks only those that were late when set. */
unsigned long rl_wheel_len(const struct rl_wheel *w);

#endif
