/* SPDX-License-Identifier: MIT */
/*
 * scarce: memory that runs out. A scenario is played again and again, each time with the next
 * allocation of the library failing, once that one alone and once all that follow, until it needs
 * no more. The Makefile has the linker lead the allocations of tests that include this through
 * here; those of the C library itself are not counted.
 */
#ifndef RL_SPEC_SCARCE_H
#define RL_SPEC_SCARCE_H

#include "check.h"

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static struct {
	bool on;         /* allocations are counted */
	bool for_good;   /* all that follow fail too */
	unsigned before; /* so many succeed first */
	unsigned count;  /* so many were asked for */
	unsigned failed;
} scarce;

static bool scarce_fails(void)
{
	if (!scarce.on)
		return false;
	unsigned n = scarce.count++;
	if (n < scarce.before || (n > scarce.before && !scarce.for_good))
		return false;
	scarce.failed++;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return scarce_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return scarce_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return scarce_fails() ? NULL : __real_realloc(p, size);
}

/* What is evaluated here may run out of memory. */
#define SCARCE(expression) \
	({ \
		scarce.on = true; \
		__typeof__(expression) scarce_result_ = (expression); \
		scarce.on = false; \
		scarce_result_; \
	})

/* Play it with every allocation failing, and at last with none. `least`: it must need so many. */
static inline void scarce_play(void (*scenario)(void), unsigned least)
{
	for (int for_good = 0; for_good < 2; for_good++) {
		unsigned before = 0, bad = (unsigned)check_bad;
		do {
			memset(&scarce, 0, sizeof scarce);
			scarce.before = before++;
			scarce.for_good = for_good;
			scenario();
		} while (scarce.failed > 0 && before < 1000 && (unsigned)check_bad == bad);
		if ((unsigned)check_bad != bad)
			printf("    allocation %u failed%s\n", before, for_good ? ", and all behind" : "");
		CHECK(scarce.failed == 0 || (unsigned)check_bad != bad);
		CHECK(before > least || (unsigned)check_bad != bad);
	}
}

#endif
