/* SPDX-License-Identifier: MIT */
/*
 * watch: the watchdog thread that makes a task which computes too long give up its turn.
 *
 * It looks at the shard RL_WATCH_TICKS times a slice; when one run of one task lasted through a
 * whole slice it sends SIGURG to the shard's thread, whose handler asks the floor above to preempt.
 * A run that does not obey within a further slice is an overrun (compiled code does not see hooks).
 * The thread sleeps for good when no task has run for a second, until the shard runs one again.
 */
#ifndef RL_RT_WATCH_H
#define RL_RT_WATCH_H

#include "rt/shard.h"

struct rl_watch;

/* Watch the calling thread's shard. Fails with -EBUSY when SIGURG has a disposition already. */
int rl_watch_open(struct rl_watch **out, struct rl_shard *s, int64_t slice_ns);
void rl_watch_close(struct rl_watch *w); /* NULL is fine; restores SIGURG */

/* Called before a task is run while the shard is `unwatched`: wake the watchdog. */
void rl_watch_wake(struct rl_watch *w);

#endif
