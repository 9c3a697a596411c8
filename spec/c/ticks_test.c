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

/* The time, which was read between two ticks. */
struct moment {
	uint64_t before, after;
	int64_t ns;
};

/* Of many the one that is known best: a thread may be put aside between any two. */
static struct moment moment(void)
{
	struct moment best = {0, UINT64_MAX, 0};
	for (int i = 0; i < 1000; i++) {
		struct moment m;
		m.before = rl_ticks();
		m.ns = now_ns();
		m.after = rl_ticks();
		if (m.after - m.before < best.after - best.before)
			best = m;
	}
	return best;
}

/* Ticks for each nanosecond over a while: at least, and at most. */
struct rate {
	double least, most;
};

static struct rate rate(int64_t ns)
{
	struct moment from = moment(), to;
	do
		to = moment();
	while (to.ns - from.ns < ns);
	double took_ns = (double)(to.ns - from.ns);
	return (struct rate){
		(double)(to.before - from.after) / took_ns, (double)(to.after - from.before) / took_ns,
	};
}

TEST(their_rate_stays)
{
	if (!rl_ticks_are_steady())
		SKIP("the processor's clock is not known to be steady");
	struct rate a = rate(5000000), b = rate(5000000);
	CHECK(a.least > 0);
	CHECK(a.least <= 1.05 * b.most && b.least <= 1.05 * a.most);
}

int main(void)
{
	RUN(they_never_go_backwards);
	RUN(their_rate_stays);
	return FINISH();
}
