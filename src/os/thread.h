/* SPDX-License-Identifier: MIT */
/*
 * thread: the helper threads of one os, for code that blocks (getaddrinfo). They start on demand,
 * at most RL_THREAD_MAX, and end after RL_THREAD_IDLE_NS without work.
 *
 * The owner posts and reaps; a helper runs `fn`, links the work on the completion list and calls
 * `notify` so that the owner comes and reaps. `done` is the owner's to call.
 */
#ifndef RL_OS_THREAD_H
#define RL_OS_THREAD_H

#include "os/os.h"

#ifndef RL_THREAD_MAX
#define RL_THREAD_MAX 4
#endif
#if defined(RL_TINY) && !defined(RL_THREAD_IDLE_NS)
#define RL_THREAD_IDLE_NS 20000000
#endif
#ifndef RL_THREAD_IDLE_NS
#define RL_THREAD_IDLE_NS 10000000000
#endif

struct rl_threads;

/* `notify(arg)` is called on a helper thread after work was completed, never after rl_thread_close
 * has returned. NULL when out of memory. */
struct rl_threads *rl_thread_open(void (*notify)(void *arg), void *arg);

/* Queue work. 0, or -errno when no helper thread runs and none can be started. */
int rl_thread_post(struct rl_threads *t, struct rl_work *w);

/* Append completed work to `out`, an initialised head, in the order it completed. */
void rl_thread_reap(struct rl_threads *t, struct rl_list *out);

/* Helper threads that run now. */
unsigned rl_thread_count(struct rl_threads *t);

/* Forget queued work, wait for running work until the monotonic `deadline_ns`, end the threads and
 * free. -EBUSY: some work is stuck; its memory must be kept for as long as the process lives, the
 * threads go when it ends. NULL is fine. */
int rl_thread_close(struct rl_threads *t, int64_t deadline_ns);

/* Keep the module that this code is in mapped for ever: a thread that does not end is in it. */
void rl_thread_pin_code(void);

#endif
