/* SPDX-License-Identifier: MIT */
/*
 * watch: the watchdog thread, one for all shards of a run. It makes a task which computes too long
 * give up its turn, and says which shard makes no progress.
 *
 * It looks at each shard RL_WATCH_TICKS times a slice; when one run of one task lasted through a
 * whole slice it sends SIGURG to the shard's thread, whose handler asks the floor above to preempt.
 * While something critical may come it is also sent, each tick, to a shard one of whose runs lasts,
 * and the handler asks only if somebody goes before the running task (urgency.h).
 * A run that does not obey within a further slice of CPU time is an overrun (compiled code does not
 * see hooks). The thread sleeps for good when no shard has run a task for a second, until one does.
 *
 * A shard is stalled while one run of one task lasts for `stall_ns` or more. That is progress as
 * others see it, so wall time counts: a run that blocks in a system call, gets no core, or was
 * stopped from outside stalls its shard as one that computes does. How much of it was waiting for a
 * core is told with it.
 *
 * A shard is starved, whether it runs a task or not, while its thread is ready to run and gets no
 * core for `starve_ns` or more: see starve.h. The watchdog itself goes before the threads it
 * watches: above their real-time priority if they have one.
 */
#ifndef RL_RT_WATCH_H
#define RL_RT_WATCH_H

#include "rt/shard.h"

struct rl_watch;

struct rl_watch_config {
	int64_t slice_ns;
	int64_t stall_ns; /* 0: nothing counts as a stall */
	int64_t starve_ns; /* 0: nobody starves */
	/* Called once when a shard has stalled and once, with `over`, when it moves again; both times
	 * with the moment since which that run was seen, and how long it has waited for a core, if that
	 * is watched. On the watchdog's thread, which meanwhile looks at nobody: be short, and never
	 * wait for the shard. NULL: `stalled_ns` of the shard is all there is. */
	void (*stalled)(void *arg, struct rl_shard *s, int64_t since_ns, int64_t waited_ns, bool over);
	/* The same of a shard that is starved, with how long it has been. A wait that was found when it
	 * was over is told of once, with `over`. NULL: none. */
	void (*starved)(void *arg, struct rl_shard *s, int64_t ns, bool over);
	void *arg;
	unsigned priority; /* the highest real-time priority a shard will have; 0: none */
	int nice;          /* likewise the lowest nice value, if it is below 0 */
};

/* Fails with -EBUSY when SIGURG has a disposition already: there is one watch in a process; with
 * -EPERM when its thread may not have a higher priority than the shards. */
int rl_watch_open(struct rl_watch **out, const struct rl_watch_config *config);
/* After every shard has left. Restores SIGURG; NULL is fine. */
void rl_watch_close(struct rl_watch *w);

/* On the shard's own thread, which must not block SIGURG: watch it from now on, as the only one of
 * this thread. */
int rl_watch_enter(struct rl_watch *w, struct rl_shard *s);
/* On the same thread: it gets no signal any more, and `stalled` is not called for it, not even with
 * `over`; waits for a call that is under way. NULL is fine. */
void rl_watch_leave(struct rl_watch *w, struct rl_shard *s);

/* Threads of ours begin with all signals blocked, and call this to hear SIGURG: its handler looks
 * at a thread-local variable, for which memory is allocated when the thread first does. That must
 * not be in the handler, which may have interrupted the allocator. */
void rl_watch_hear(void);

/* On a thread that is no shard's: SIGURG sent to it while a watch is open calls fn(arg) there, in
 * signal context, from now on; NULL: nothing. */
void rl_watch_lend(void (*fn)(void *arg), void *arg);

/* Called by a shard that is `unwatched`, after it has announced a run with rl_shard_running. */
void rl_watch_wake(struct rl_watch *w);

#endif
