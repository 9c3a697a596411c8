/* SPDX-License-Identifier: MIT */
/*
 * atomic: the C11 atomics of what is lock-free (deque, spsc, mpmc, fleet), behind names that a test
 * can give another meaning: spec/c/interleave.h takes the place of this header, by its guard, and
 * runs the same source in every order that the memory model allows.
 *
 * For that, such a structure reaches every field that changes after init through this layer, also
 * those of one thread (RL_READ, RL_WRITE: no atomics, the other accesses keep them apart).
 */
#ifndef RL_BASE_ATOMIC_H
#define RL_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>

#define RL_CACHE_LINE 64

#define RL_ATOMIC(type) _Atomic(type)

/* `order` is relaxed, acquire, release, acq_rel or seq_cst. */
#define RL_LOAD(p, order) atomic_load_explicit((p), memory_order_##order)
#define RL_STORE(p, v, order) atomic_store_explicit((p), (v), memory_order_##order)

/* If *p, of 64 bits, is *expected, make it `v`: true. Else put it, read relaxed, there: false. */
#define RL_CAS(p, expected, v, order) \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_##order, \
		memory_order_relaxed)

/* What was there before. */
#define RL_ADD(p, v, order) atomic_fetch_add_explicit((p), (v), memory_order_##order)
#define RL_SUB(p, v, order) atomic_fetch_sub_explicit((p), (v), memory_order_##order)
#define RL_OR(p, v, order) atomic_fetch_or_explicit((p), (v), memory_order_##order)
#define RL_SWAP(p, v, order) atomic_exchange_explicit((p), (v), memory_order_##order)

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer knows no fences, and gcc warns of each: a locked instruction is as good here. */
static inline void rl_atomic_fence(void)
{
	atomic_uint word = 0;
	atomic_exchange_explicit(&word, 1, memory_order_seq_cst);
}
#define RL_FENCE(order) rl_atomic_fence()
#else
#define RL_FENCE(order) atomic_thread_fence(memory_order_##order)
#endif

#define RL_READ(p) (*(p))
#define RL_WRITE(p, v) ((void)(*(p) = (v)))

#endif
