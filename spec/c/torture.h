/* SPDX-License-Identifier: MIT */
/*
 * torture: threads that begin together and count what they get, for the lock-free structures.
 * RINGLET_TORTURE in the environment is how many items go through; a full run takes 10000000.
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

enum { TORTURE_THREADS = 16 };

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
