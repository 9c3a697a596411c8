/* SPDX-License-Identifier: MIT */
/*
 * torture: threads that begin together and count what they get, for the lock-free structures.
 * RINGLET_TORTURE in the environment is how many items go through; a full run takes 10000000.
 *
 * Threads that wait for each other by yielding get on at the pace of time slices on a machine that
 * is busy with something else. So their items go through in rounds, as many as there is time for.
 */
#ifndef RL_SPEC_TORTURE_H
#define RL_SPEC_TORTURE_H

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { TORTURE_THREADS = 16, TORTURE_ROUND = 1000, TORTURE_SECONDS = 4 };

/* An item, and how often it was got: `number` is plain, so a sanitizer sees a missing order. */
struct torture_item {
	uint32_t number;
	atomic_uint got;
};

static inline uint32_t torture_count(uint32_t usual)
{
	const char *wanted = getenv("RINGLET_TORTURE");
	return wanted ? (uint32_t)strtoul(wanted, NULL, 10) : usual;
}

struct torture_rounds {
	uint32_t left;
	time_t until;
};

static inline time_t torture_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static inline struct torture_rounds torture_rounds(uint32_t count)
{
	return (struct torture_rounds){ count, torture_time() + TORTURE_SECONDS };
}

/* How many items go through in the next round; 0: it was the last. */
static inline uint32_t torture_round(struct torture_rounds *t)
{
	bool more = getenv("RINGLET_TORTURE") || torture_time() <= t->until;
	uint32_t n = !more ? 0 : t->left < TORTURE_ROUND ? t->left : TORTURE_ROUND;
	t->left -= n;
	return n;
}

static inline struct torture_item *torture_items(uint32_t n)
{
	return calloc(n, sizeof(struct torture_item));
}

/* How many items were not got just once. Frees them. */
static inline uint32_t torture_end(struct torture_item *items, uint32_t n)
{
	uint32_t bad = 0;
	for (uint32_t i = 0; i < n; i++)
		bad += atomic_load(&items[i].got) != 1 || items[i].number != i;
	free(items);
	return bad;
}

static inline void torture_got(struct torture_item *items, void *item)
{
	struct torture_item *got = item;
	if (got == &items[got->number])
		atomic_fetch_add_explicit(&got->got, 1, memory_order_relaxed);
}

struct torture_thread {
	void (*fn)(void *arg, unsigned index);
	void *arg;
	unsigned index;
	atomic_uint *waiting;
	pthread_t id;
};

static void *torture_thread(void *arg)
{
	struct torture_thread *t = arg;
	atomic_fetch_sub(t->waiting, 1);
	while (atomic_load(t->waiting) > 0)
		sched_yield();
	t->fn(t->arg, t->index);
	return NULL;
}

/* Run fn(arg, 0), fn(arg, 1), ... on a thread each, until all have returned. */
static inline void torture_run(unsigned threads, void (*fn)(void *arg, unsigned index), void *arg)
{
	struct torture_thread t[TORTURE_THREADS];
	atomic_uint waiting = threads;
	for (unsigned i = 0; i < threads; i++) {
		t[i] = (struct torture_thread){ fn, arg, i, &waiting, 0 };
		if (pthread_create(&t[i].id, NULL, torture_thread, &t[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(t[i].id, NULL);
}

#endif
