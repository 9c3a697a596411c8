/* SPDX-License-Identifier: MIT */
/*
 * check: the two assertions. RL_ASSERT guards memory safety and stays in release builds;
 * RL_DEBUG_ASSERT is compiled in test builds (-DRL_DEBUG). One fact each, no side effects.
 */
#ifndef RL_BASE_CHECK_H
#define RL_BASE_CHECK_H

/* Report the broken fact on stderr and abort; never returns. */
_Noreturn void rl_check_fail(const char *fact, const char *file, int line);

#define RL_ASSERT(fact) \
	((__builtin_expect(!!(fact), 1)) ? (void)0 : rl_check_fail(#fact, __FILE__, __LINE__))

#ifdef RL_DEBUG
#define RL_DEBUG_ASSERT(fact) RL_ASSERT(fact)
#else
#define RL_DEBUG_ASSERT(fact) ((void)0)
#endif

#endif
