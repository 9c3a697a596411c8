/* SPDX-License-Identifier: MIT */
/* histogram: bounds of buckets, quantiles against a sorted list, a reader beside the writer. */
#include "base/histogram.h"

#include "base/rand.h"
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static struct rl_histogram_view view_of(const struct rl_histogram *h)
{
	static struct rl_histogram_view view;
	memset(&view, 0, sizeof view);
	rl_histogram_add(&view, h);
	return view;
}

static bool near(double a, double b, double share)
{
	return fabs(a - b) <= share * fabs(b);
}

TEST(an_empty_one_has_nothing)
{
	struct rl_histogram h = {0};
	struct rl_histogram_view v = view_of(&h);
	CHECK_EQ(v.count, 0);
	CHECK(rl_histogram_quantile(&v, 0.5) == 0 && v.sum == 0);
	rl_histogram_term(&h);
}

TEST(every_value_is_counted_once_and_in_its_octave)
{
	struct rl_histogram h = {0};
	double lowest = ldexp(1, RL_HISTOGRAM_LOW);
	double end = ldexp(1, RL_HISTOGRAM_LOW + RL_HISTOGRAM_OCTAVES);
	const double values[] = {0, -1, nextafter(lowest, 0), lowest, 1, nextafter(2, 0), 2,
		nextafter(end, 0), end, INFINITY, NAN};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		rl_histogram_record(&h, values[i]);
	struct rl_histogram_view v = view_of(&h);
	CHECK_EQ(v.count, 10);
	CHECK_EQ(v.under, 3);
	CHECK_EQ(v.over, 2);
	CHECK_EQ(v.n[0][0], 1);
	CHECK_EQ(v.n[-RL_HISTOGRAM_LOW][0], 1);
	CHECK_EQ(v.n[-RL_HISTOGRAM_LOW][RL_HISTOGRAM_SUB - 1], 1);
	CHECK_EQ(v.n[1 - RL_HISTOGRAM_LOW][0], 1);
	CHECK_EQ(v.n[RL_HISTOGRAM_OCTAVES - 1][RL_HISTOGRAM_SUB - 1], 1);
	CHECK_EQ(rl_histogram_below(&v, 0), 4);
	CHECK_EQ(rl_histogram_below(&v, 1), 6);
	CHECK_EQ(rl_histogram_below(&v, RL_HISTOGRAM_LOW + RL_HISTOGRAM_OCTAVES), 8);
	CHECK(rl_histogram_quantile(&v, 1) == INFINITY);
	rl_histogram_term(&h);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

TEST(quantiles_are_near_those_of_the_sorted_list)
{
	enum { N = 20000 };
	static double list[N];
	struct rl_histogram h = {0};
	struct rl_rand r;
	double sum = 0;
	rl_rand_seed(&r, 7);
	for (int i = 0; i < N; i++) {
		double u = (double)(rl_rand_next(&r) >> 11) / 9007199254740992.0;
		list[i] = 1e-6 * exp(14 * u); /* a microsecond to a second */
		sum += list[i];
		rl_histogram_record(&h, list[i]);
	}
	qsort(list, N, sizeof *list, by_size);
	struct rl_histogram_view v = view_of(&h);
	CHECK_EQ(v.count, N);
	CHECK(near(v.sum, sum, 1e-12));
	for (int p = 1; p <= 1000; p++) {
		double exact = list[(int)ceil(p / 1000.0 * N) - 1];
		CHECK(near(rl_histogram_quantile(&v, p / 1000.0), exact, 0.0157));
	}
	rl_histogram_term(&h);
}

static void *record_many(void *arg)
{
	for (int i = 1; i <= 200000; i++)
		rl_histogram_record(arg, i % 1000 + 1);
	return NULL;
}

TEST(a_reader_beside_the_writer_sees_the_count_grow)
{
	struct rl_histogram h = {0};
	pthread_t writer;
	uint64_t last = 0;
	pthread_create(&writer, NULL, record_many, &h);
	while (last < 200000) {
		struct rl_histogram_view v = view_of(&h);
		CHECK(v.count >= last);
		last = v.count;
	}
	pthread_join(writer, NULL);
	CHECK(view_of(&h).sum == 200 * 500500.0);
	rl_histogram_term(&h);
}

int main(void)
{
	RUN(an_empty_one_has_nothing);
	RUN(every_value_is_counted_once_and_in_its_octave);
	RUN(quantiles_are_near_those_of_the_sorted_list);
	RUN(a_reader_beside_the_writer_sees_the_count_grow);
	return FINISH();
}
