/* SPDX-License-Identifier: MIT */
/*
 * watch: see watch.h.
 *
 * Invariants: the list of shards and what is remembered about each are guarded by the lock. A
 * signal is sent under it, to the thread of a shard on the list, and a shard's thread takes its
 * shard off before it ends: no signal goes to a thread that is gone. SIGURG is directed at such
 * threads alone, and its handler touches nothing but the shard found through the thread-local
 * pointer; what is still on its way when a shard leaves finds none.
 *
 * `stalled` and `starved` are called without the lock, so that they may take their time and call
 * wake. The shard they are called for stays on the list, because leave waits for `telling`.
 *
 * Going to sleep: a shard announces a run in `run_seq` and reads its `unwatched` flag after that.
 * The watchdog sets the flags, waits a tick and reads `run_seq` again. A shard that read its flag
 * too early had announced its run before, and in a whole tick that store has become visible. So a
 * run is seen by the watchdog, or sees that it must wake it, and no run costs a locked instruction.
 * The flags are written under the lock, each by the watchdog or a shard.
 *
 * A look finds a run that lasts up to RL_WATCH_CALM_TICKS after it began; from then on each tick is
 * counted, so what it is told or preempted for has lasted that long at least.
 *
 * A forked child has no watchdog: the lock and the conditions may be in any state there, and nobody
 * touches them.
 */
#define _GNU_SOURCE
#include "rt/watch.h"

#include "base/check.h"
#include "base/err.h"
#include "os/sched.h"
#include "rt/fleet.h"
#include "rt/starve.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RL_WATCH_TICKS 10
#define RL_WATCH_CALM_TICKS 3 /* to the next look, when nothing runs */
#define RL_WATCH_TICK_MIN_NS 100000
#define RL_WATCH_SLICE_NS 100000
#if defined(RL_TINY) && !defined(RL_WATCH_IDLE_NS)
#define RL_WATCH_IDLE_NS 50000000
#endif
#ifndef RL_WATCH_IDLE_NS
#define RL_WATCH_IDLE_NS 1000000000
#endif

/* A watched shard, and what the watchdog remembers of it between two looks. */
struct look {
	struct rl_list link;
	struct rl_shard *shard;
	pthread_t thread;
	clockid_t clock;   /* the thread's CPU time */
	uint32_t seq;
	unsigned ticks;    /* looks that saw the same run, but for the first */
	int64_t since_ns;  /* when the first of them was */
	int64_t cpu_ns;    /* the thread's CPU time at the second of them */
	int64_t quiet_ns;  /* how long nothing has run */
	struct rl_starve starve;
};

struct rl_watch {
	struct rl_watch_config config;
	pthread_t thread;
	pid_t home;
	pthread_mutex_t lock;
	pthread_cond_t cond;       /* for the watchdog: stop, or awake */
	pthread_cond_t told;       /* for who leaves: `telling` has changed */
	struct rl_list shards;     /* of struct look */
	struct look *telling;      /* the shard somebody is being told of */
	bool stop, asleep;
	int64_t tick_ns;
	int64_t waited_ns;         /* before the look that is due or under way */
	struct sigaction before;
};

static _Thread_local struct rl_shard *volatile watched;
static _Thread_local struct {
	void (*volatile fn)(void *arg);
	void *volatile arg;
} lent;

/* For its slice, or for who goes before the running task. */
static void preempt(struct rl_shard *s)
{
	uint32_t seq = atomic_load_explicit(&s->run_seq, memory_order_relaxed);
	bool sliced = atomic_load_explicit(&s->sliced, memory_order_relaxed) == seq;
	if (!(seq & 1) || (!sliced && !rl_urgency_interrupts(s)))
		return;
	s->urged = !sliced;
	s->vm.preempt(s->vm.self);
}

static void on_sigurg(int sig)
{
	(void)sig;
	struct rl_shard *s = watched;
	int saved = errno;
	if (s)
		preempt(s);
	if (lent.fn)
		lent.fn(lent.arg);
	errno = saved;
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;
	if (clock_gettime(clock, &now) < 0)
		return 0;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Between the two the lock is given up, and the shard stays. */
static void begin_telling(struct rl_watch *w, struct look *k)
{
	w->telling = k;
	pthread_mutex_unlock(&w->lock);
}

static void end_telling(struct rl_watch *w)
{
	pthread_mutex_lock(&w->lock);
	w->telling = NULL;
	pthread_cond_broadcast(&w->told);
}

/* Publish that a shard has stalled or moves again, and tell. */
static void tell_stalled(struct rl_watch *w, struct look *k, bool over)
{
	atomic_store_explicit(&k->shard->stalled_ns, over ? 0 : k->since_ns, memory_order_relaxed);
	if (!w->config.stalled)
		return;
	int64_t waited_ns = rl_starve_waited(&k->starve, read_clock(CLOCK_MONOTONIC));
	begin_telling(w, k);
	w->config.stalled(w->config.arg, k->shard, k->since_ns, waited_ns, over);
	end_telling(w);
}

static bool is_stalled(const struct look *k)
{
	return atomic_load_explicit(&k->shard->stalled_ns, memory_order_relaxed) != 0;
}

/* The run that the last look saw goes on. One that waits for a core does not overrun, so the
 * thread's CPU time decides. */
static void look_again(struct rl_watch *w, struct look *k)
{
	if (++k->ticks == 1)
		k->cpu_ns = read_clock(k->clock);
	rl_fleet_relieve(k->shard);
	bool sliced = k->ticks >= RL_WATCH_TICKS - 1;
	if (sliced)
		atomic_store_explicit(&k->shard->sliced, k->seq, memory_order_relaxed);
	if (sliced || atomic_load_explicit(&k->shard->urgent, memory_order_relaxed))
		pthread_kill(k->thread, SIGURG);
	if (!sliced)
		return;
	if (k->ticks >= 2 * RL_WATCH_TICKS
		&& read_clock(k->clock) - k->cpu_ns >= (2 * RL_WATCH_TICKS - 1) * w->tick_ns)
		atomic_store_explicit(&k->shard->overran, k->seq, memory_order_relaxed);
}

/* May give the lock up; the shard stays on the list. */
static void look_once(struct rl_watch *w, struct look *k, int64_t now_ns)
{
	uint32_t seq = atomic_load_explicit(&k->shard->run_seq, memory_order_relaxed);
	if (seq == k->seq && (seq & 1)) {
		look_again(w, k);
		if (w->config.stall_ns > 0 && now_ns - k->since_ns >= w->config.stall_ns && !is_stalled(k))
			tell_stalled(w, k, false);
		return;
	}
	if (is_stalled(k))
		tell_stalled(w, k, true);
	k->quiet_ns = seq == k->seq ? k->quiet_ns + w->waited_ns : 0;
	k->seq = seq;
	k->ticks = 0;
	k->since_ns = read_clock(CLOCK_MONOTONIC); /* `now_ns` may be from before that run */
	rl_starve_mark(&k->starve);
}

/* Likewise. */
static void look_for_hunger(struct rl_watch *w, struct look *k, int64_t now_ns)
{
	enum rl_starve_news news = rl_starve_look(&k->starve, now_ns);
	if (news == RL_STARVE_NONE || !w->config.starved)
		return;
	bool over = news == RL_STARVE_OVER;
	int64_t ns = over ? k->starve.lasted_ns : now_ns - k->starve.waiting_ns;
	begin_telling(w, k);
	w->config.starved(w->config.arg, k->shard, ns, over);
	end_telling(w);
}

static void look_at_all(struct rl_watch *w)
{
	int64_t now_ns = read_clock(CLOCK_MONOTONIC);
	for (struct rl_list *l = w->shards.next; l != &w->shards; l = l->next) {
		struct look *k = rl_container(l, struct look, link);
		look_once(w, k, now_ns);
		look_for_hunger(w, k, now_ns);
	}
}

/* Also true when nobody is watched. */
static bool all_quiet(const struct rl_watch *w)
{
	for (const struct rl_list *l = w->shards.next; l != &w->shards; l = l->next) {
		const struct look *k = rl_container(l, struct look, link);
		if (k->quiet_ns < RL_WATCH_IDLE_NS || rl_starve_waits(&k->starve))
			return false;
	}
	return true;
}

/* Has a shard run anything since the last look? */
static bool any_ran(const struct rl_watch *w)
{
	for (const struct rl_list *l = w->shards.next; l != &w->shards; l = l->next) {
		const struct look *k = rl_container(l, struct look, link);
		if (atomic_load_explicit(&k->shard->run_seq, memory_order_relaxed) != k->seq)
			return true;
	}
	return false;
}

/* Between short runs most looks find none. A run that begins behind such a look is found some ticks
 * later, and costs its neighbours that much; a look costs a shard that is alone with its core more
 * than a request does. Shards of a fleet may have to be relieved sooner, and who is critical not to
 * wait so long. */
static bool is_calm(const struct rl_watch *w)
{
	const struct rl_list *l = w->shards.next;
	if (l == &w->shards || l->next != &w->shards)
		return false;
	const struct look *k = rl_container(l, struct look, link);
	return !(k->seq & 1) && !atomic_load_explicit(&k->shard->urgent, memory_order_relaxed);
}

static void wait_ticks(struct rl_watch *w, unsigned n)
{
	w->waited_ns = n * w->tick_ns;
	int64_t ns = read_clock(CLOCK_MONOTONIC) + w->waited_ns;
	struct timespec until = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	pthread_cond_timedwait(&w->cond, &w->lock, &until);
}

/* Set or clear every shard's flag; who has just been woken counts a new second. */
static void set_asleep(struct rl_watch *w, bool asleep)
{
	w->asleep = asleep;
	for (struct rl_list *l = w->shards.next; l != &w->shards; l = l->next) {
		struct look *k = rl_container(l, struct look, link);
		atomic_store_explicit(&k->shard->unwatched, asleep, memory_order_relaxed);
		if (!asleep)
			k->quiet_ns = 0;
	}
}

/* Sleep until a shard runs a task: see the head of this file. */
static void wait_work(struct rl_watch *w)
{
	set_asleep(w, true);
	wait_ticks(w, 1);
	while (!w->stop && w->asleep && !any_ran(w))
		pthread_cond_wait(&w->cond, &w->lock);
	set_asleep(w, false);
}

/* Ask for a short time slice, which gets a thread that has little to do onto its core soon, even
 * beside the ones it watches (sched(7), EEVDF; Linux 6.12), and for their nice value. Where that is
 * not to be had, a look is a few ms later. */
static void go_before_ordinary(const struct rl_watch *w)
{
	struct rl_sched own;
	if (rl_sched_get(0, &own) < 0 || rl_sched_is_realtime(own.policy))
		return;
	int nice = w->config.nice < own.nice ? w->config.nice : own.nice;
	struct rl_sched s = {.policy = SCHED_OTHER, .nice = nice, .slice_ns = RL_WATCH_SLICE_NS};
	if (rl_sched_set(&s) < 0) {
		s.nice = own.nice;
		rl_sched_set(&s);
	}
}

static void *watch_main(void *arg)
{
	struct rl_watch *w = arg;
	go_before_ordinary(w);
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (all_quiet(w))
			wait_work(w);
		else
			wait_ticks(w, is_calm(w) ? RL_WATCH_CALM_TICKS : 1);
		look_at_all(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int take_sigurg(struct rl_watch *w)
{
	struct sigaction now = {.sa_handler = on_sigurg, .sa_flags = SA_RESTART | SA_ONSTACK};
	sigemptyset(&now.sa_mask);
	sigaddset(&now.sa_mask, SIGPROF); /* its handler may arm a hook as well */
	(void)watched; /* has its memory now: see rl_watch_hear */
	if (sigaction(SIGURG, NULL, &w->before) < 0)
		return -errno;
	if ((w->before.sa_flags & SA_SIGINFO) || w->before.sa_handler != SIG_DFL)
		return -EBUSY;
	return sigaction(SIGURG, &now, NULL) < 0 ? -errno : 0;
}

/* The priority that is above all shards'; 0: they have none. They begin with the caller's. */
static int priority_above(const struct rl_watch *w)
{
	struct rl_sched own;
	unsigned highest = w->config.priority;
	if (rl_sched_get(0, &own) == 0 && own.priority > highest)
		highest = own.priority;
	if (highest == 0)
		return 0;
	return highest < RL_SCHED_PRIORITY_MAX ? (int)highest + 1 : RL_SCHED_PRIORITY_MAX;
}

/* The thread has its priority before it is started: on a core that is busy with real-time threads
 * it would not come to ask for it. */
static int start_with(struct rl_watch *w, int priority)
{
	struct sched_param param = {.sched_priority = priority};
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	if (priority > 0) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &param);
	}
	int err = pthread_create(&w->thread, &attr, watch_main, w);
	pthread_attr_destroy(&attr);
	return -err;
}

static int start_thread(struct rl_watch *w)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = start_with(w, priority_above(w));
	if (err == -EPERM && w->config.priority == 0)
		err = start_with(w, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err == 0)
		pthread_setname_np(w->thread, "ringlet-watch");
	return err;
}

static struct rl_watch *watch_new(const struct rl_watch_config *config)
{
	pthread_condattr_t attr;
	pthread_mutexattr_t lends;
	struct rl_watch *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->config = *config;
	w->home = getpid();
	w->tick_ns = config->slice_ns / RL_WATCH_TICKS;
	if (w->tick_ns < RL_WATCH_TICK_MIN_NS)
		w->tick_ns = RL_WATCH_TICK_MIN_NS;
	rl_list_init(&w->shards);
	/* A shard that holds it behind a real-time one has the priority of the watchdog it blocks. */
	pthread_mutexattr_init(&lends);
	pthread_mutexattr_setprotocol(&lends, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&w->lock, &lends);
	pthread_mutexattr_destroy(&lends);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_cond_init(&w->told, &attr);
	pthread_condattr_destroy(&attr);
	return w;
}

static void watch_free(struct rl_watch *w)
{
	pthread_cond_destroy(&w->told);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int rl_watch_open(struct rl_watch **out, const struct rl_watch_config *config)
{
	struct rl_watch *w = watch_new(config);
	if (!w)
		return -ENOMEM;
	int err = take_sigurg(w);
	if (err < 0)
		goto free_watch;
	err = start_thread(w);
	if (err < 0)
		goto restore_signal;
	*out = w;
	return 0;

restore_signal:
	sigaction(SIGURG, &w->before, NULL);
free_watch:
	watch_free(w);
	return err;
}

void rl_watch_close(struct rl_watch *w)
{
	if (!w)
		return;
	if (w->home != getpid()) {
		sigaction(SIGURG, &w->before, NULL);
		free(w);
		return;
	}
	pthread_mutex_lock(&w->lock);
	RL_ASSERT(rl_list_empty(&w->shards));
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	sigaction(SIGURG, &w->before, NULL);
	watch_free(w);
}

int rl_watch_enter(struct rl_watch *w, struct rl_shard *s)
{
	struct look *k = calloc(1, sizeof *k);
	if (!k)
		return -ENOMEM;
	RL_ASSERT(!watched);
	k->shard = s;
	k->thread = pthread_self();
	pthread_getcpuclockid(k->thread, &k->clock);
	k->seq = atomic_load_explicit(&s->run_seq, memory_order_relaxed);
	k->since_ns = read_clock(CLOCK_MONOTONIC);
	rl_starve_open(&k->starve, w->config.starve_ns, k->since_ns);
	watched = s;
	pthread_mutex_lock(&w->lock);
	atomic_store_explicit(&s->unwatched, w->asleep, memory_order_relaxed);
	rl_list_push(&w->shards, &k->link);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static struct look *find(const struct rl_watch *w, const struct rl_shard *s)
{
	struct rl_list *l = w->shards.next;
	while (rl_container(l, struct look, link)->shard != s)
		l = l->next;
	return rl_container(l, struct look, link);
}

void rl_watch_leave(struct rl_watch *w, struct rl_shard *s)
{
	if (!w)
		return;
	RL_ASSERT(watched == s);
	watched = NULL;
	if (w->home != getpid())
		return;
	pthread_mutex_lock(&w->lock);
	struct look *k = find(w, s);
	while (w->telling == k)
		pthread_cond_wait(&w->told, &w->lock);
	rl_list_remove(&k->link);
	atomic_store_explicit(&s->unwatched, false, memory_order_relaxed);
	atomic_store_explicit(&s->stalled_ns, 0, memory_order_relaxed);
	pthread_mutex_unlock(&w->lock);
	rl_starve_close(&k->starve);
	free(k);
}

void rl_watch_hear(void)
{
	sigset_t set;
	lent.fn = NULL;
	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void rl_watch_lend(void (*fn)(void *arg), void *arg)
{
	lent.fn = NULL;
	lent.arg = arg;
	lent.fn = fn;
}

void rl_watch_wake(struct rl_watch *w)
{
	if (w->home != getpid())
		return;
	pthread_mutex_lock(&w->lock);
	if (w->asleep) {
		set_asleep(w, false);
		if (watched)
			rl_starve_ran(&find(w, watched)->starve, read_clock(CLOCK_MONOTONIC));
		pthread_cond_signal(&w->cond);
	}
	pthread_mutex_unlock(&w->lock);
}
