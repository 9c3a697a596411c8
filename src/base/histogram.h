/* SPDX-License-Identifier: MIT */
/*
 * histogram: how often which value, for values of all sizes: 32 buckets for each power of two, so a
 * quantile is off by less than 1.6 % (the idea of HdrHistogram, by G. Tene: a logarithm, linear
 * within each octave). The bucket of a double is its exponent and the first bits of its mantissa.
 *
 * One thread records, any may read meanwhile: each bucket is read whole, all of them not at one
 * moment, so the count is the sum of the buckets and nothing else. An octave takes memory when the
 * first value falls into it; without memory that value is not counted.
 */
#ifndef RL_BASE_HISTOGRAM_H
#define RL_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RL_HISTOGRAM_LOG 5                       /* of the buckets in an octave */
#define RL_HISTOGRAM_SUB (1 << RL_HISTOGRAM_LOG)
#define RL_HISTOGRAM_LOW (-30)                   /* less than 2^LOW, 0 included, is "under" */
#define RL_HISTOGRAM_OCTAVES 72                  /* 2^(LOW + OCTAVES) and more is "over" */

struct rl_octave {
	_Atomic uint64_t n[RL_HISTOGRAM_SUB];
};

/* All zeros is an empty one. */
struct rl_histogram {
	_Atomic uint64_t under, over;
	_Atomic double sum;
	struct rl_octave *_Atomic octaves[RL_HISTOGRAM_OCTAVES];
};

/* What was recorded until then, by one reader. */
struct rl_histogram_view {
	uint64_t count, under, over;
	double sum;
	uint64_t n[RL_HISTOGRAM_OCTAVES][RL_HISTOGRAM_SUB];
};

static inline void rl_histogram_bump(_Atomic uint64_t *n)
{
	uint64_t was = atomic_load_explicit(n, memory_order_relaxed);
	atomic_store_explicit(n, was + 1, memory_order_relaxed);
}

/* The number of v's bucket, from 0; what is under or over is beyond the last. */
static inline uint64_t rl_histogram_bucket(double v)
{
	const uint64_t base = (uint64_t)(1023 + RL_HISTOGRAM_LOW) << RL_HISTOGRAM_LOG;
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	return (bits >> (52 - RL_HISTOGRAM_LOG)) - base;
}

/* The rest of rl_histogram_record: no memory yet for its octave, or under, or over. */
void rl_histogram_record_rare(struct rl_histogram *h, double v);

/* Count v, by the one thread that records here. Negative values are under; NaN is not counted. */
static inline void rl_histogram_record(struct rl_histogram *h, double v)
{
	uint64_t bucket = rl_histogram_bucket(v);
	struct rl_octave *o = NULL;
	if (bucket < RL_HISTOGRAM_OCTAVES << RL_HISTOGRAM_LOG)
		o = atomic_load_explicit(&h->octaves[bucket >> RL_HISTOGRAM_LOG], memory_order_relaxed);
	if (!o) {
		rl_histogram_record_rare(h, v);
		return;
	}
	rl_histogram_bump(&o->n[bucket & (RL_HISTOGRAM_SUB - 1)]);
	double sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
	atomic_store_explicit(&h->sum, sum + v, memory_order_relaxed);
}

/* Count a 0: the usual case of what is measured with a coarse clock. */
static inline void rl_histogram_record_zero(struct rl_histogram *h)
{
	rl_histogram_bump(&h->under);
}

/* How many values it has counted. Any thread. */
uint64_t rl_histogram_count(const struct rl_histogram *h);

/* Whether there are any. */
bool rl_histogram_has(const struct rl_histogram *h);

/* Add what `h` has to `view`, which begins as zeros. Any thread, while nobody terminates it. */
void rl_histogram_add(struct rl_histogram_view *view, const struct rl_histogram *h);

/* The value that a share q, 0 to 1, of those counted do not exceed: the middle of its bucket; 0 if
 * it is under, and if nothing was counted; infinite if it is over. */
double rl_histogram_quantile(const struct rl_histogram_view *view, double q);

/* How many were less than 2^exponent, for exponents from LOW to LOW + OCTAVES. */
uint64_t rl_histogram_below(const struct rl_histogram_view *view, int exponent);

/* Free the octaves: it is empty then. */
void rl_histogram_term(struct rl_histogram *h);

#endif
