/* SPDX-License-Identifier: MIT */
/*
 * ticks: the processor's own clock, which takes a few nanoseconds to read where clock_gettime takes
 * tens. Its rate is not known here: whoever records ticks also records pairs of ticks and
 * nanoseconds. Use it only where rl_ticks_are_steady says so: the same rate on all cores, in every
 * state of power saving.
 */
#ifndef RL_BASE_TICKS_H
#define RL_BASE_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <x86intrin.h>

static inline bool rl_ticks_are_steady(void)
{
	unsigned a, b, c, d;
	/* "Invariant TSC": AMD64 Architecture Programmer's Manual, CPUID Fn8000_0007_EDX bit 8. */
	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8) != 0;
}

static inline uint64_t rl_ticks(void)
{
	return __rdtsc();
}

#elif defined(__aarch64__)

static inline bool rl_ticks_are_steady(void)
{
	return true;
}

static inline uint64_t rl_ticks(void)
{
	uint64_t n;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(n));
	return n;
}

#else

static inline bool rl_ticks_are_steady(void)
{
	return false;
}

static inline uint64_t rl_ticks(void)
{
	return 0;
}

#endif

#endif
