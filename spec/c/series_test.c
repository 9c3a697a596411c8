/* SPDX-License-Identifier: MIT */
/* series: values, exact buckets, the list beside readers. */
#include "rt/series.h"

#include "check.h"
#include "rt/measure.h"

#include <math.h>
#include <pthread.h>

#define MANY 2000

static double value_of(struct rl_series *s)
{
	return atomic_load_explicit(&s->value, memory_order_relaxed);
}

TEST(a_counter_and_a_gauge_have_one_value)
{
	struct rl_measure *m = rl_measure_new();
	struct rl_series *c = rl_series_new(m, RL_SERIES_COUNTER, "hits", "a=\"b\"", NULL, 0);
	struct rl_series *g = rl_series_new(m, RL_SERIES_GAUGE, "level", "", NULL, 0);
	CHECK(strcmp(c->family, "hits") == 0 && strcmp(c->labels, "a=\"b\"") == 0);
	CHECK(!c->histogram && value_of(c) == 0);
	rl_series_add(c, 2);
	rl_series_add(c, 0.5);
	rl_series_set(g, -3);
	CHECK(value_of(c) == 2.5 && value_of(g) == -3);
	CHECK(m->series == g && g->next == c && !c->next);
	CHECK_EQ(m->series_len, 2);
	rl_measure_put(m);
}

TEST(a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed)
{
	const double bounds[] = {-1, 0.5, 2};
	const double values[] = {-INFINITY, -1, 0, 0.5, 0.6, 2, 2.1, INFINITY, NAN};
	struct rl_measure *m = rl_measure_new();
	struct rl_series *s = rl_series_new(m, RL_SERIES_HISTOGRAM, "h", "", bounds, 3);
	CHECK_EQ(s->bounds_len, 3);
	CHECK(s->bounds[0] == -1 && s->bounds[2] == 2);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		rl_series_observe(s, values[i]);
	CHECK_EQ(s->exact[0], 2);
	CHECK_EQ(s->exact[1], 2);
	CHECK_EQ(s->exact[2], 2);
	CHECK_EQ(rl_histogram_count(s->histogram), 8); /* all but NaN */
	rl_measure_put(m);
}

static void *count_and_grow(void *arg)
{
	struct rl_measure *m = arg;
	const double bounds[] = {10, 100};
	for (int i = 1; i <= MANY; i++) {
		struct rl_series *s = rl_series_new(m, i % 2 ? RL_SERIES_COUNTER : RL_SERIES_HISTOGRAM,
			"family", "label=\"value\"", bounds, 2);
		if (i % 2)
			rl_series_add(s, 1);
		else
			rl_series_observe(s, i);
		if (i % 8 == 0)
			atomic_store_explicit(&s->gone, true, memory_order_relaxed);
	}
	return NULL;
}

TEST(a_reader_beside_the_owner_sees_whole_members)
{
	struct rl_measure *m = rl_measure_new();
	pthread_t writer;
	unsigned n = 0;
	pthread_create(&writer, NULL, count_and_grow, m);
	while (n < MANY) {
		unsigned before = n;
		n = 0;
		struct rl_series *s = atomic_load_explicit(&m->series, memory_order_acquire);
		for (; s; s = s->next, n++) {
			CHECK_EQ(strcmp(s->labels, "label=\"value\""), 0);
			CHECK(s->histogram ? rl_histogram_count(s->histogram) <= 1 : value_of(s) <= 1);
			CHECK(s->bounds[1] == 100);
		}
		CHECK(n >= before);
	}
	pthread_join(writer, NULL);
	rl_measure_put(m);
}

int main(void)
{
	RUN(a_counter_and_a_gauge_have_one_value);
	RUN(a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed);
	RUN(a_reader_beside_the_owner_sees_whole_members);
	return FINISH();
}
