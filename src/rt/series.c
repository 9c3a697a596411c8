/* SPDX-License-Identifier: MIT */
/* series: see series.h. A member is one block: its strings, bounds and buckets follow it. */
#include "rt/series.h"

#include "rt/measure.h"

#include <stddef.h>
#include <stdlib.h>

static struct rl_series *block_new(const char *family, const char *labels, unsigned bounds_len)
{
	size_t strings = strlen(family) + strlen(labels) + 2;
	size_t numbers = bounds_len * (sizeof(double) + sizeof(uint64_t));
	struct rl_series *s = calloc(1, sizeof *s + numbers + strings);
	if (!s)
		return NULL;
	double *bounds = (double *)(s + 1);
	s->bounds = bounds;
	s->bounds_len = bounds_len;
	s->exact = (void *)(bounds + bounds_len);
	char *text = (char *)(s->exact + bounds_len);
	s->family = strcpy(text, family);
	s->labels = strcpy(text + strlen(family) + 1, labels);
	return s;
}

struct rl_series *rl_series_new(struct rl_measure *m, enum rl_series_kind kind, const char *family,
	const char *labels, const double *bounds, unsigned bounds_len)
{
	struct rl_series *s = block_new(family, labels, bounds_len);
	if (!s)
		return NULL;
	s->kind = (uint8_t)kind;
	if (bounds_len > 0)
		memcpy((double *)s->bounds, bounds, bounds_len * sizeof *bounds);
	if (kind == RL_SERIES_HISTOGRAM) {
		s->histogram = calloc(1, sizeof *s->histogram);
		if (!s->histogram) {
			free(s);
			return NULL;
		}
	}
	s->next = atomic_load_explicit(&m->series, memory_order_relaxed);
	m->series_len++;
	/* Release: a reader that finds it finds all of it. */
	atomic_store_explicit(&m->series, s, memory_order_release);
	return s;
}

void rl_series_free(struct rl_series *s)
{
	while (s) {
		struct rl_series *next = s->next;
		if (s->histogram)
			rl_histogram_term(s->histogram);
		free(s->histogram);
		free(s);
		s = next;
	}
}

void rl_series_set(struct rl_series *s, double v)
{
	atomic_store_explicit(&s->value, v, memory_order_relaxed);
}

void rl_series_add(struct rl_series *s, double n)
{
	rl_series_set(s, atomic_load_explicit(&s->value, memory_order_relaxed) + n);
}

void rl_series_observe(struct rl_series *s, double v)
{
	rl_histogram_record(s->histogram, v);
	for (unsigned i = 0; i < s->bounds_len; i++)
		if (v <= s->bounds[i]) {
			rl_histogram_bump(&s->exact[i]);
			return;
		}
}
