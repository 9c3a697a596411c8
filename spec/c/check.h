/* SPDX-License-Identifier: MIT */
/*
 * A C test is a program: TEST functions, a main that RUNs each and returns FINISH(). It prints one
 * line a test, at once, and closes with "N passed, N failed, N skipped"; CHECK says where and what.
 */
#ifndef RL_SPEC_CHECK_H
#define RL_SPEC_CHECK_H

#include <stdio.h>
#include <string.h>

static int check_failed, check_passed, check_skipped, check_bad;
static const char *check_skip_why;

#define TEST(name) static void name(void)

#define CHECK(fact) \
	do { \
		if (!(fact)) { \
			printf("    %s:%d: not true: %s\n", __FILE__, __LINE__, #fact); \
			check_bad++; \
		} \
	} while (0)

#define CHECK_EQ(got, want) \
	do { \
		long long got_ = (long long)(got), want_ = (long long)(want); \
		if (got_ != want_) { \
			printf("    %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, got_, want_); \
			check_bad++; \
		} \
	} while (0)

/* Leave the test, counted as skipped, with the reason. */
#define SKIP(why) \
	do { \
		check_skip_why = (why); \
		return; \
	} while (0)

#define RUN(name) \
	do { \
		check_bad = 0; \
		check_skip_why = NULL; \
		name(); \
		if (check_skip_why) { \
			check_skipped++; \
			printf("skip %s: %s\n", #name, check_skip_why); \
		} else if (check_bad) { \
			check_failed++; \
			printf("FAIL %s\n", #name); \
		} else { \
			check_passed++; \
			printf("ok   %s\n", #name); \
		} \
		fflush(stdout); \
	} while (0)

#define FINISH() \
	(printf("%d passed, %d failed, %d skipped\n", check_passed, check_failed, check_skipped), \
		check_failed != 0)

#endif
