/* SPDX-License-Identifier: MIT */
/*
 * sched: which scheduling class of the kernel's a thread is in: its policy, nice value or real-time
 * priority, and the length of its slices. See sched(7).
 *
 * What a thread with real-time priority or a nice value below 0 starts, threads or processes, does
 * not inherit that (SCHED_FLAG_RESET_ON_FORK): helpers and subprocesses are ordinary.
 */
#ifndef RL_OS_SCHED_H
#define RL_OS_SCHED_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RL_SCHED_KEEP (-100)    /* for `nice`: what the thread has */
#define RL_SCHED_PRIORITY_MAX 99

struct rl_sched {
	uint32_t policy;   /* SCHED_OTHER, _BATCH, _IDLE, _FIFO, _RR; others are only read */
	int32_t nice;      /* -20 to 19; set for SCHED_OTHER and SCHED_BATCH alone */
	uint32_t priority; /* 1 to 99, of SCHED_FIFO and SCHED_RR; else 0 */
	int64_t slice_ns;  /* of SCHED_OTHER and SCHED_BATCH since Linux 6.12; 0: the system's */
};

/* What a thread goes back to: struct sched_attr of sched_setattr(2), and its nice value, which that
 * does not have of a real-time thread. */
struct rl_sched_saved {
	struct rl_sched_attr {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr;
	int32_t nice;
};

/* Of any thread of this process; 0 is the calling one. */
int rl_sched_get(pid_t tid, struct rl_sched *out);

/* The calling thread. -EPERM: not allowed; -EINVAL: the kernel has no such class. */
int rl_sched_set(const struct rl_sched *s);

/* Note the class of the calling thread, and go back to it. Who may not clear it keeps the flag that
 * children inherit nothing, which means nothing to an ordinary thread. */
int rl_sched_save(struct rl_sched_saved *out);
int rl_sched_restore(const struct rl_sched_saved *saved);

/* May a thread like the calling one be in class `s`? Found by trying on a thread made for it.
 * *back: it may also go back to where it was. */
int rl_sched_try(const struct rl_sched *s, bool *back);

static inline bool rl_sched_is_realtime(uint32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

#endif
