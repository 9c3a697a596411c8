/* SPDX-License-Identifier: MIT */
/*
 * series: what users measure on one shard: counters, gauges and histograms, each with a key that
 * says its family and labels. Only that shard writes to them, any thread may read: so those of all
 * shards can be summed without asking one. The list grows at its head and never loses a member
 * before the shard's measure is freed; what was removed is only marked.
 */
#ifndef RL_RT_SERIES_H
#define RL_RT_SERIES_H

#include "base/histogram.h"

struct rl_measure;

enum rl_series_kind { RL_SERIES_COUNTER, RL_SERIES_GAUGE, RL_SERIES_HISTOGRAM };

struct rl_series {
	_Atomic double value;           /* first: compiled code adds to it where it lies */
	struct rl_series *next;
	struct rl_histogram *histogram; /* NULL: it has one value */
	uint8_t kind;
	_Atomic bool gone;              /* removed */
	unsigned bounds_len;
	const double *bounds;           /* of a histogram's exact buckets, ascending */
	_Atomic uint64_t *exact;        /* how many were <= the bound and > the one before */
	const char *family, *labels;    /* as the floor above writes them */
};

/* A new one in the list; NULL without memory. All strings and bounds are copied. */
struct rl_series *rl_series_new(struct rl_measure *m, enum rl_series_kind kind, const char *family,
	const char *labels, const double *bounds, unsigned bounds_len);

/* The list. NULL is fine. */
void rl_series_free(struct rl_series *s);

/* By the owner. */
void rl_series_add(struct rl_series *s, double n);
void rl_series_set(struct rl_series *s, double v);
void rl_series_observe(struct rl_series *s, double v);

#endif
