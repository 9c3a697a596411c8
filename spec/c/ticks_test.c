/* SPDX-License-Identifier: MIT */
/* ticks: steady ones go forwards, at one rate. */
#include "base/ticks.h"

#include "check.h"

#include <time.h>

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

TEST(they_never_go_backwards)
{
	uint64_t last = rl_ticks();
	for (int i = 0; i < 100000; i++) {
		uint64_t now = rl_ticks();
		CHECK(now >= last);
		last = now;
	}
}

/* Ticks for each nanosecond over a while. */
static double rate(int64_t ns)
{
	int64_t from_ns = now_ns(), to_ns;
	uint64_t from = rl_ticks();
	do
		to_ns = now_ns();
	while (to_ns - from_ns < ns);
	return (double)(rl_ticks() - from) / (double)(to_ns - from_ns);
}

TEST(their_rate_stays)
{
	if (!rl_ticks_are_steady())
		SKIP("the processor's clock is not known to be steady");
	double a = rate(5000000), b = rate(5000000);
	CHECK(a > 0);
	CHECK(a / b > 0.95 && a / b < 1.05); /* a thread that is put aside at an end is some late */
}

int main(void)
{
	RUN(they_never_go_backwards);
	RUN(their_rate_stays);
	return FINISH();
}
