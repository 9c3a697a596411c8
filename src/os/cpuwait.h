/* SPDX-License-Identifier: MIT */
/*
 * cpuwait: what a thread has had of a CPU, and how long it waited for one, as the kernel counts it.
 *
 * The kernel adds a wait when it is over: while a thread waits, nothing moves. A waiting thread
 * differs from a sleeping one in the letter of its state alone.
 */
#ifndef RL_OS_CPUWAIT_H
#define RL_OS_CPUWAIT_H

#include <stdint.h>
#include <time.h>

/* A thread as its files in /proc; two descriptors. */
struct rl_cpuwait {
	int schedstat, stat;
	clockid_t clock;
};

struct rl_cpuwait_counts {
	int64_t waited_ns; /* runnable, on no CPU; of waits that are over */
	uint64_t turns;    /* how often it got a CPU */
};

/* Of the calling thread; asked by any, while it lives. Fails where there is no /proc. */
int rl_cpuwait_open(struct rl_cpuwait *c);
/* Idempotent; of a zeroed one, or one that could not be opened, nothing. */
void rl_cpuwait_close(struct rl_cpuwait *c);

/* Its CPU time, exact. About as dear as three readings of a clock. */
int64_t rl_cpuwait_ran_ns(const struct rl_cpuwait *c);
/* Both 0 if the kernel does not count. */
void rl_cpuwait_read(const struct rl_cpuwait *c, struct rl_cpuwait_counts *out);
/* proc_pid_stat(5): 'R' running or waiting for a CPU, 'S' and 'D' asleep, 'T' stopped; '?'. */
char rl_cpuwait_state(const struct rl_cpuwait *c);

#endif
