/* SPDX-License-Identifier: MIT */
/*
 * watch: see watch.h.
 *
 * Invariants: `unwatched` is written by the watchdog and cleared by the shard, both under the lock;
 * the shard reads it without (a stale "awake" costs one second of watching at the most: the
 * watchdog re-checks run_seq after setting it). SIGURG is only ever directed at the shard's thread,
 * and its handler touches nothing but the shard found through the thread-local pointer.
 */
#include "rt/watch.h"

#include "base/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RL_WATCH_TICKS 10
#define RL_WATCH_SLICE_NS 100000
#define RL_WATCH_IDLE_NS 1000000000

struct rl_watch {
	struct rl_shard *shard;
	pthread_t thread, target;
	clockid_t clock;           /* the target's CPU time */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;                 /* under lock */
	int64_t tick_ns;
	struct sigaction before;
};

static _Thread_local struct rl_shard *watched;

static void on_sigurg(int sig)
{
	(void)sig;
	struct rl_shard *s = watched;
	int saved = errno;
	if (s && (atomic_load_explicit(&s->run_seq, memory_order_relaxed) & 1))
		s->vm.preempt(s->vm.self);
	errno = saved;
}

/* What the watchdog remembers between two looks. */
struct look {
	uint32_t seq;
	unsigned ticks;    /* looks that saw the same run */
	int64_t cpu_ns;    /* the thread's CPU time at the second of them */
	int64_t quiet_ns;  /* how long nothing has run */
};

/* CPU time of the shard's thread: one that waits for a core does not overrun. */
static int64_t cpu_time(const struct rl_watch *w)
{
	struct timespec now;
	if (clock_gettime(w->clock, &now) < 0)
		return 0;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void look_once(struct rl_watch *w, struct look *k)
{
	struct rl_shard *s = w->shard;
	uint32_t seq = atomic_load_explicit(&s->run_seq, memory_order_relaxed);
	if (seq != k->seq || !(seq & 1)) {
		k->quiet_ns = seq == k->seq ? k->quiet_ns + w->tick_ns : 0;
		k->seq = seq;
		k->ticks = 0;
		return;
	}
	k->quiet_ns = 0;
	if (++k->ticks == 1)
		k->cpu_ns = cpu_time(w);
	if (k->ticks < RL_WATCH_TICKS - 1)
		return;
	pthread_kill(w->target, SIGURG);
	if (k->ticks >= 2 * RL_WATCH_TICKS
		&& cpu_time(w) - k->cpu_ns >= (2 * RL_WATCH_TICKS - 1) * w->tick_ns)
		atomic_store_explicit(&s->overran, seq ? seq : 1, memory_order_relaxed);
}

static void wait_tick(struct rl_watch *w)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	int64_t ns = until.tv_nsec + w->tick_ns;
	until.tv_sec += ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	pthread_cond_timedwait(&w->cond, &w->lock, &until);
}

/* Sleep until the shard runs a task; re-checks after publishing that it sleeps. */
static void wait_work(struct rl_watch *w, struct look *k)
{
	atomic_store_explicit(&w->shard->unwatched, true, memory_order_seq_cst);
	while (!w->stop && atomic_load_explicit(&w->shard->unwatched, memory_order_relaxed)
		&& atomic_load_explicit(&w->shard->run_seq, memory_order_seq_cst) == k->seq)
		pthread_cond_wait(&w->cond, &w->lock);
	atomic_store_explicit(&w->shard->unwatched, false, memory_order_relaxed);
	k->quiet_ns = 0;
}

/* struct sched_attr of sched_setattr(2); its header does not go with <sched.h>. */
struct watch_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* Ask for a short time slice, which gets a thread that has little to do onto its core soon, even
 * beside the one it watches (sched(7), EEVDF; Linux 6.12). Where that is not to be had, a look is a
 * few ms later. */
static void ask_short_slice(void)
{
	struct watch_attr attr = {.size = sizeof attr, .runtime = RL_WATCH_SLICE_NS};
	syscall(SYS_sched_setattr, 0, &attr, 0);
}

static void *watch_main(void *arg)
{
	struct rl_watch *w = arg;
	struct look k = {0};
	ask_short_slice();
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (k.quiet_ns >= RL_WATCH_IDLE_NS)
			wait_work(w, &k);
		else
			wait_tick(w);
		look_once(w, &k);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int take_sigurg(struct rl_watch *w)
{
	struct sigaction now = {.sa_handler = on_sigurg, .sa_flags = SA_RESTART | SA_ONSTACK};
	sigemptyset(&now.sa_mask);
	if (sigaction(SIGURG, NULL, &w->before) < 0)
		return -errno;
	if ((w->before.sa_flags & SA_SIGINFO) || w->before.sa_handler != SIG_DFL)
		return -EBUSY;
	return sigaction(SIGURG, &now, NULL) < 0 ? -errno : 0;
}

static int start_thread(struct rl_watch *w)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&w->thread, NULL, watch_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int rl_watch_open(struct rl_watch **out, struct rl_shard *s, int64_t slice_ns)
{
	pthread_condattr_t attr;
	struct rl_watch *w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->shard = s;
	w->target = pthread_self();
	pthread_getcpuclockid(w->target, &w->clock);
	w->tick_ns = slice_ns / RL_WATCH_TICKS > 100000 ? slice_ns / RL_WATCH_TICKS : 100000;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	int err = take_sigurg(w);
	if (err < 0)
		goto free_watch;
	watched = s;
	err = start_thread(w);
	if (err < 0)
		goto restore_signal;
	*out = w;
	return 0;

restore_signal:
	watched = NULL;
	sigaction(SIGURG, &w->before, NULL);
free_watch:
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return err;
}

void rl_watch_close(struct rl_watch *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	watched = NULL;
	sigaction(SIGURG, &w->before, NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void rl_watch_wake(struct rl_watch *w)
{
	pthread_mutex_lock(&w->lock);
	atomic_store_explicit(&w->shard->unwatched, false, memory_order_relaxed);
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}
