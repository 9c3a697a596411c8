/* SPDX-License-Identifier: MIT */
/* histogram: see histogram.h. */
#include "base/histogram.h"

#include "base/check.h"

#include <stdlib.h>

static void add_to_sum(struct rl_histogram *h, double v)
{
	double sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
	atomic_store_explicit(&h->sum, sum + v, memory_order_relaxed);
}

void rl_histogram_record_rare(struct rl_histogram *h, double v)
{
	uint64_t bucket = rl_histogram_bucket(v);
	if (v != v)
		return;
	if (bucket < RL_HISTOGRAM_OCTAVES << RL_HISTOGRAM_LOG) {
		struct rl_octave *o = calloc(1, sizeof *o);
		if (!o)
			return;
		/* Release: a reader that finds it finds zeros in it. */
		atomic_store_explicit(&h->octaves[bucket >> RL_HISTOGRAM_LOG], o, memory_order_release);
		rl_histogram_record(h, v);
		return;
	}
	rl_histogram_bump(v < 1 ? &h->under : &h->over);
	if (v - v == 0) /* finite */
		add_to_sum(h, v);
}

uint64_t rl_histogram_count(const struct rl_histogram *h)
{
	uint64_t count = atomic_load_explicit(&h->under, memory_order_relaxed);
	count += atomic_load_explicit(&h->over, memory_order_relaxed);
	for (int i = 0; i < RL_HISTOGRAM_OCTAVES; i++) {
		struct rl_octave *o = atomic_load_explicit(&h->octaves[i], memory_order_acquire);
		for (int k = 0; o && k < RL_HISTOGRAM_SUB; k++)
			count += atomic_load_explicit(&o->n[k], memory_order_relaxed);
	}
	return count;
}

bool rl_histogram_has(const struct rl_histogram *h)
{
	if (atomic_load_explicit(&h->under, memory_order_relaxed) > 0
		|| atomic_load_explicit(&h->over, memory_order_relaxed) > 0)
		return true;
	/* An octave is made for the first value that falls into it. */
	for (int i = 0; i < RL_HISTOGRAM_OCTAVES; i++)
		if (atomic_load_explicit(&h->octaves[i], memory_order_relaxed))
			return true;
	return false;
}

void rl_histogram_add(struct rl_histogram_view *view, const struct rl_histogram *h)
{
	uint64_t under = atomic_load_explicit(&h->under, memory_order_relaxed);
	uint64_t over = atomic_load_explicit(&h->over, memory_order_relaxed);
	view->under += under;
	view->over += over;
	view->count += under + over;
	for (int i = 0; i < RL_HISTOGRAM_OCTAVES; i++) {
		struct rl_octave *o = atomic_load_explicit(&h->octaves[i], memory_order_acquire);
		for (int k = 0; o && k < RL_HISTOGRAM_SUB; k++) {
			uint64_t n = atomic_load_explicit(&o->n[k], memory_order_relaxed);
			view->n[i][k] += n;
			view->count += n;
		}
	}
	view->sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
}

static double middle(int octave, int sub)
{
	uint64_t exponent = (uint64_t)(1023 + RL_HISTOGRAM_LOW + octave) << 52;
	uint64_t mantissa = (2 * (uint64_t)sub + 1) << (51 - RL_HISTOGRAM_LOG);
	uint64_t bits = exponent | mantissa;
	double v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

double rl_histogram_quantile(const struct rl_histogram_view *view, double q)
{
	double rank = q * (double)view->count;
	uint64_t want = (uint64_t)rank, seen = view->under;
	want += (double)want < rank || want == 0;
	if (view->count == 0 || seen >= want)
		return 0;
	for (int i = 0; i < RL_HISTOGRAM_OCTAVES; i++)
		for (int k = 0; k < RL_HISTOGRAM_SUB; k++) {
			seen += view->n[i][k];
			if (seen >= want)
				return middle(i, k);
		}
	return __builtin_inf();
}

uint64_t rl_histogram_below(const struct rl_histogram_view *view, int exponent)
{
	uint64_t n = view->under;
	RL_ASSERT(exponent >= RL_HISTOGRAM_LOW);
	for (int i = 0; i < exponent - RL_HISTOGRAM_LOW && i < RL_HISTOGRAM_OCTAVES; i++)
		for (int k = 0; k < RL_HISTOGRAM_SUB; k++)
			n += view->n[i][k];
	return n;
}

void rl_histogram_term(struct rl_histogram *h)
{
	for (int i = 0; i < RL_HISTOGRAM_OCTAVES; i++)
		free(atomic_load_explicit(&h->octaves[i], memory_order_relaxed));
	memset(h, 0, sizeof *h);
}
