/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: who is preempted, what is an overrun, what is a stall, and that shards come and go
 * beside it. Signals are its ticks: they come once a tick to a run that lasts, so a test counts
 * them where it needs the watchdog to have looked so often. The test build lets it sleep after
 * 50 ms of quiet.
 *
 * Any thread may be put aside for a second anywhere: a run that was to be short is long then. Who
 * runs briefly measures that, and what happens to him is wrong if his run was not so long.
 */
#define _GNU_SOURCE
#include "check.h"
#include "base/err.h"
#include "os/cpuwait.h"
#include "os/sched.h"
#include "rt/wait.h"
#include "rt/watch.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL
#define PATIENCE_NS (20000 * MS)
#define HOUR_NS (3600 * 1000 * MS)  /* a slice that does not pass: the signals are the test's own */

/* A shard on a thread of its own, or on that of the test. */
struct fake {
	struct rl_shard shard;
	struct rl_watch *watch;
	pthread_t owner;
	atomic_int preempted, strays; /* signals to its thread while it is watched; any other */
	atomic_int urged;             /* those of them that came before the slice had passed */
	atomic_bool watched, stop;
	void (*act)(struct fake *f);  /* what it does while it is watched */
	int64_t longest_ns;           /* by run_often: of its runs, */
	int64_t shortest_ns;          /* and of those that were preempted; 0: none was */
	int64_t cpu_ns, waited_ns;    /* by block: of its run, and for a core since it began to be */
};

/* What `stalled` was told of one shard, NULL: of any. */
struct report {
	const struct rl_shard *about;
	atomic_int others;            /* what was told of another */
	atomic_int began, over, inside;
	atomic_bool hold;             /* do not return */
	struct rl_shard *_Atomic shard;
	_Atomic int64_t since_ns, over_since_ns, told_ns;
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static void await(atomic_int *counter, int least)
{
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	while (atomic_load(counter) < least && clock_ns(CLOCK_MONOTONIC) < limit)
		sched_yield();
	CHECK(atomic_load(counter) >= least);
}

static void on_preempt(void *self)
{
	struct fake *f = self;
	bool mine = pthread_equal(pthread_self(), f->owner) && atomic_load(&f->watched);
	atomic_fetch_add(&f->urged, f->shard.urged);
	atomic_fetch_add(mine ? &f->preempted : &f->strays, 1);
}

static void on_stalled(void *arg, struct rl_shard *s, int64_t since_ns, int64_t waited_ns,
	bool over)
{
	struct report *r = arg;
	if (r->about && s != r->about) {
		atomic_fetch_add(&r->others, 1);
		return;
	}
	atomic_fetch_add(&r->inside, 1);
	CHECK_EQ(waited_ns, 0); /* is not watched */
	r->shard = s;
	if (!over) {
		r->since_ns = since_ns;
		r->told_ns = clock_ns(CLOCK_MONOTONIC);
	} else {
		r->over_since_ns = since_ns;
	}
	atomic_fetch_add(over ? &r->over : &r->began, 1);
	while (atomic_load(&r->hold))
		sched_yield();
	atomic_fetch_sub(&r->inside, 1);
}

static void pretend_shard(struct fake *f)
{
	memset(f, 0, sizeof *f);
	f->shard.vm.preempt = on_preempt;
	f->shard.vm.self = f;
}

static struct rl_watch *open_watch(int64_t slice_ns, int64_t stall_ns, struct report *r)
{
	struct rl_watch_config config = {.slice_ns = slice_ns, .stall_ns = stall_ns};
	struct rl_watch *w = NULL;
	if (r) {
		memset(r, 0, sizeof *r);
		config.stalled = on_stalled;
		config.arg = r;
	}
	CHECK_EQ(rl_watch_open(&w, &config), 0);
	return w;
}

static void enter(struct fake *f, struct rl_watch *w)
{
	f->owner = pthread_self();
	f->watch = w;
	atomic_store(&f->watched, true);
	CHECK_EQ(rl_watch_enter(w, &f->shard), 0);
}

/* A run that has not ended makes every stray signal visible. */
static void leave(struct fake *f)
{
	rl_watch_leave(f->watch, &f->shard);
	atomic_store(&f->watched, false);
}

/* As the floor above does it, around the code of a task. */
static void begin(struct fake *f)
{
	rl_shard_running(&f->shard, true);
	if (atomic_load_explicit(&f->shard.unwatched, memory_order_relaxed))
		rl_watch_wake(f->watch);
}

static void end(struct fake *f)
{
	rl_shard_running(&f->shard, false);
}

static void *shard_main(void *arg)
{
	struct fake *f = arg;
	enter(f, f->watch);
	f->act(f);
	leave(f);
	return NULL;
}

static pthread_t start(struct fake *f, struct rl_watch *w, void (*act)(struct fake *f))
{
	pthread_t thread;
	pretend_shard(f);
	f->watch = w;
	f->act = act;
	CHECK_EQ(pthread_create(&thread, NULL, shard_main, f), 0);
	return thread;
}

/* One run without end; it may yield its core, as others compute too. */
static void overrun(struct fake *f)
{
	begin(f);
	while (!atomic_load(&f->stop))
		sched_yield();
}

/* One run without end that uses no core, but for the signals. */
static void block(struct fake *f)
{
	struct rl_cpuwait c;
	struct rl_cpuwait_counts counts;
	int64_t from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	begin(f);
	while (!atomic_load(&f->stop))
		usleep(100000);
	f->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns;
	CHECK_EQ(rl_cpuwait_open(&c), 0);
	rl_cpuwait_read(&c, &counts);
	f->waited_ns = counts.waited_ns;
	rl_cpuwait_close(&c);
}

/* Runs of 2 ms, so that most looks see one. */
static void run_often(struct fake *f)
{
	while (!atomic_load(&f->stop)) {
		int before = atomic_load(&f->preempted);
		int64_t from_ns = clock_ns(CLOCK_MONOTONIC);
		begin(f);
		while (clock_ns(CLOCK_MONOTONIC) - from_ns < 2 * MS)
			sched_yield();
		end(f);
		int64_t ns = clock_ns(CLOCK_MONOTONIC) - from_ns;
		bool preempted = atomic_load(&f->preempted) != before;
		f->longest_ns = ns > f->longest_ns ? ns : f->longest_ns;
		if (preempted && (f->shortest_ns == 0 || ns < f->shortest_ns))
			f->shortest_ns = ns;
		usleep(500);
	}
}

static void run_never(struct fake *f)
{
	while (!atomic_load(&f->stop))
		usleep(500);
}

static void stop(struct fake *f, pthread_t thread)
{
	atomic_store(&f->stop, true);
	pthread_join(thread, NULL);
	CHECK_EQ(atomic_load(&f->strays), 0);
}

TEST(preempts_a_run_that_lasts)
{
	struct fake f;
	struct rl_watch *w = open_watch(2 * MS, 0, NULL);
	pretend_shard(&f);
	enter(&f, w);
	begin(&f);
	while (atomic_load(&f.preempted) == 0 || atomic_load(&f.shard.overran) == 0)
		;
	end(&f);
	leave(&f);
	rl_watch_close(w);
	CHECK_EQ(atomic_load(&f.shard.overran), 1);
	CHECK_EQ(atomic_load(&f.shard.stalled_ns), 0);
}

TEST(refuses_a_taken_signal_and_restores_a_free_one)
{
	struct rl_watch_config config = {.slice_ns = 2 * MS};
	struct rl_watch *w = NULL, *second = NULL;
	struct sigaction now;
	signal(SIGURG, SIG_IGN);
	CHECK_EQ(rl_watch_open(&w, &config), -EBUSY);
	signal(SIGURG, SIG_DFL);
	CHECK_EQ(rl_watch_open(&w, &config), 0);
	CHECK_EQ(rl_watch_open(&second, &config), -EBUSY);
	rl_watch_close(w);
	rl_watch_close(second);
	sigaction(SIGURG, NULL, &now);
	CHECK(now.sa_handler == SIG_DFL);
}

/* A slice has passed after nine ticks. */
TEST(only_the_shard_that_overruns_gets_signals)
{
	struct fake hog, brisk, lazy;
	struct rl_watch *w = open_watch(50 * MS, 0, NULL);
	pthread_t a = start(&brisk, w, run_often), b = start(&lazy, w, run_never);
	pthread_t c = start(&hog, w, overrun);
	await(&hog.preempted, 20);
	stop(&brisk, a);
	stop(&lazy, b);
	stop(&hog, c);
	rl_watch_close(w);
	CHECK(brisk.shortest_ns == 0 || brisk.shortest_ns >= 45 * MS);
	CHECK_EQ(atomic_load(&lazy.preempted), 0);
	CHECK(atomic_load(&brisk.shard.overran) == 0 || brisk.longest_ns >= 95 * MS);
}

TEST(each_of_two_shards_that_overrun_gets_its_own_signals)
{
	struct fake a, b;
	struct rl_watch *w = open_watch(2 * MS, 0, NULL);
	pthread_t ta = start(&a, w, overrun), tb = start(&b, w, overrun);
	await(&a.preempted, 20);
	await(&b.preempted, 20);
	stop(&a, ta);
	await(&b.preempted, atomic_load(&b.preempted) + 20);
	stop(&b, tb);
	rl_watch_close(w);
}

TEST(a_run_that_gets_no_core_is_preempted_and_no_overrun)
{
	struct fake f;
	struct rl_watch *w = open_watch(20 * MS, 0, NULL);
	pthread_t thread = start(&f, w, block);
	await(&f.preempted, 30);
	stop(&f, thread);
	rl_watch_close(w);
	/* The signals themselves take some of the 38 ms that it may compute. */
	CHECK(atomic_load(&f.shard.overran) == 0 || f.cpu_ns >= 38 * MS);
}

TEST(shards_come_and_go_beside_others_that_overrun)
{
	enum { ROUNDS = 1000 };
	static struct fake guests[ROUNDS];
	struct fake hogs[2];
	pthread_t threads[2];
	struct rl_watch *w = open_watch(1 * MS, 1 * MS, NULL);
	int strays = 0, preempted = 0;
	for (int i = 0; i < 2; i++)
		threads[i] = start(&hogs[i], w, overrun);
	for (int i = 0; i < ROUNDS; i++) {
		pthread_t guest = start(&guests[i], w, overrun);
		if (i % 8 == 0)
			await(&guests[i].preempted, 1 + i % 3);
		stop(&guests[i], guest);
	}
	for (int i = 0; i < 2; i++) {
		await(&hogs[i].preempted, 20);
		stop(&hogs[i], threads[i]);
	}
	rl_watch_close(w);
	for (int i = 0; i < ROUNDS; i++) {
		strays += atomic_load(&guests[i].strays);
		preempted += atomic_load(&guests[i].preempted) > 0;
	}
	CHECK_EQ(strays, 0);
	CHECK(preempted >= ROUNDS / 8);
}

/* A signal that was sent before leave and comes after it, here one sent by hand. */
TEST(a_late_signal_finds_no_shard)
{
	struct fake f;
	struct rl_watch *w = open_watch(HOUR_NS, 0, NULL);
	pretend_shard(&f);
	enter(&f, w);
	begin(&f);
	raise(SIGURG); /* neither has its slice passed nor does anybody go before it */
	CHECK_EQ(atomic_load(&f.preempted), 0);
	atomic_store(&f.shard.sliced, atomic_load(&f.shard.run_seq));
	raise(SIGURG);
	CHECK_EQ(atomic_load(&f.preempted), 1);
	leave(&f);
	raise(SIGURG);
	sched_yield();
	CHECK_EQ(atomic_load(&f.preempted), 1);
	CHECK_EQ(atomic_load(&f.strays), 0);
	enter(&f, w);
	raise(SIGURG);
	CHECK_EQ(atomic_load(&f.preempted), 2);
	leave(&f);
	rl_watch_close(w);
}

/* ---- ticks for who is critical --------------------------------------------------------------- */

/* A shard with a seam and a running task, whose run lasts. */
static struct rl_task *open_shard(struct fake *f, bool urgent)
{
	static const struct rl_vm vm = {.preempt = on_preempt};
	struct rl_os_config config = {.seed = 1};
	memset(f, 0, sizeof *f);
	CHECK_EQ(rl_shard_init(&f->shard, &vm), 0);
	f->shard.vm.self = f;
	CHECK_EQ(rl_shard_open(&f->shard, "sim", &config, NULL), 0);
	struct rl_task *t = rl_task_new(&f->shard, 0);
	rl_runq_remove(&f->shard.runq, t);
	t->state = RL_TASK_RUNNING;
	f->shard.current = t;
	rl_urgency_add(&f->shard, urgent);
	return t;
}

static void close_shard(struct fake *f, struct rl_task *t)
{
	f->shard.current = NULL;
	rl_task_free(&f->shard, t);
	rl_shard_term(&f->shard);
}

TEST(a_tick_interrupts_for_who_goes_before_and_not_otherwise)
{
	struct fake f;
	struct rl_watch *w = open_watch(HOUR_NS, 0, NULL);
	struct rl_task *t = open_shard(&f, true), *other = rl_task_new(&f.shard, 0);
	enter(&f, w);
	begin(&f);
	raise(SIGURG); /* a tick: `other` is of the same priority */
	CHECK_EQ(atomic_load(&f.preempted), 0);
	rl_task_set_priority(&f.shard, other, RL_CRITICAL);
	raise(SIGURG);
	CHECK_EQ(atomic_load(&f.preempted), 1);
	CHECK(f.shard.urged);
	atomic_store(&f.shard.sliced, atomic_load(&f.shard.run_seq));
	raise(SIGURG); /* it was not to let others go: its slice is used up */
	CHECK_EQ(atomic_load(&f.preempted), 2);
	CHECK(!f.shard.urged);
	end(&f);
	leave(&f);
	rl_watch_close(w);
	rl_wait_abandon(&f.shard, other);
	rl_task_free(&f.shard, other);
	close_shard(&f, t);
}

/* A run of seven ticks, three of which may pass before the first look; or with `urgent`, runs until
 * one was interrupted before its slice had passed. */
static void run_for_ticks(struct fake *f, bool urgent)
{
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	do {
		int before = atomic_load(&f->preempted);
		begin(f);
		if (urgent)
			await(&f->preempted, before + 1);
		else
			usleep(140000);
		end(f);
	} while (urgent && atomic_load(&f->urged) == 0 && clock_ns(CLOCK_MONOTONIC) < limit);
}

TEST(ticks_come_before_the_slice_only_while_something_may_come)
{
	struct fake f;
	for (int urgent = 0; urgent < 2; urgent++) {
		struct rl_watch *w = open_watch(200 * MS, 0, NULL);
		struct rl_task *t = open_shard(&f, urgent), *other = rl_task_new(&f.shard, 0);
		rl_task_set_priority(&f.shard, t, RL_BACKGROUND);
		if (!urgent)
			atomic_store(&f.shard.urgent, false);
		enter(&f, w);
		run_for_ticks(&f, urgent);
		CHECK((atomic_load(&f.urged) > 0) == urgent);
		leave(&f);
		rl_watch_close(w);
		rl_wait_abandon(&f.shard, other);
		rl_task_free(&f.shard, other);
		close_shard(&f, t);
	}
}

/* With a signal of its own each tick, a run is sliced once its slice has passed and not before. */
TEST(a_slice_is_a_slice_with_ticks_too)
{
	struct fake f;
	struct rl_watch *w = open_watch(20 * MS, 0, NULL);
	struct rl_task *t = open_shard(&f, true);
	enter(&f, w);
	int64_t from_ns = clock_ns(CLOCK_MONOTONIC);
	begin(&f);
	await(&f.preempted, 1);
	int64_t ran_ns = clock_ns(CLOCK_MONOTONIC) - from_ns;
	CHECK(ran_ns >= 18 * MS);
	CHECK(!f.shard.urged);
	end(&f);
	leave(&f);
	rl_watch_close(w);
	close_shard(&f, t);
}

static void on_lent(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(the_signal_is_lent_to_a_thread_that_is_no_shards)
{
	atomic_int calls = 0;
	struct rl_watch *w = open_watch(1000 * MS, 0, NULL);
	raise(SIGURG);
	rl_watch_lend(on_lent, &calls);
	raise(SIGURG);
	CHECK_EQ(atomic_load(&calls), 1);
	rl_watch_lend(NULL, NULL);
	raise(SIGURG);
	CHECK_EQ(atomic_load(&calls), 1);
	rl_watch_close(w);
}

TEST(a_stall_is_told_once_and_so_is_its_end)
{
	struct fake f, other;
	struct report r;
	struct rl_watch *w = open_watch(2 * MS, 20 * MS, &r);
	r.about = &f.shard;
	pthread_t thread = start(&other, w, run_often);
	pretend_shard(&f);
	enter(&f, w);
	int64_t from_ns = clock_ns(CLOCK_MONOTONIC);
	begin(&f);
	await(&r.began, 1);
	CHECK(r.shard == &f.shard);
	CHECK(r.since_ns >= from_ns && r.told_ns - r.since_ns >= 20 * MS);
	CHECK_EQ(atomic_load(&f.shard.stalled_ns), r.since_ns);
	await(&f.preempted, atomic_load(&f.preempted) + 200);
	CHECK_EQ(atomic_load(&r.began), 1);
	CHECK_EQ(atomic_load(&r.over), 0);
	end(&f);
	await(&r.over, 1);
	CHECK(r.shard == &f.shard && r.over_since_ns == r.since_ns);
	CHECK_EQ(atomic_load(&f.shard.stalled_ns), 0);
	begin(&f);
	await(&r.began, 2);
	end(&f);
	begin(&f); /* the next run, most likely with no look between the two */
	await(&r.over, 2);
	end(&f);
	leave(&f);
	stop(&other, thread);
	rl_watch_close(w);
	CHECK(atomic_load(&r.others) == 0 || other.longest_ns >= 20 * MS);
}

/* Wall time counts. No signal is due yet, so the thread uses no CPU time at all. */
TEST(a_run_that_gets_no_core_stalls_its_shard)
{
	struct fake f;
	struct report r;
	struct rl_watch *w = open_watch(1000 * MS, 50 * MS, &r);
	pthread_t thread = start(&f, w, block);
	await(&r.began, 1);
	CHECK(r.shard == &f.shard);
	stop(&f, thread);
	rl_watch_close(w);
}

TEST(no_stall_is_told_below_its_time)
{
	struct fake f;
	struct report r;
	struct rl_watch *w = open_watch(2 * MS, 60000 * MS, &r);
	pretend_shard(&f);
	enter(&f, w);
	for (int i = 1; i <= 5; i++) {
		begin(&f);
		await(&f.preempted, 20 * i);
		end(&f);
	}
	CHECK_EQ(atomic_load(&f.shard.stalled_ns), 0);
	leave(&f);
	rl_watch_close(w);
	CHECK_EQ(atomic_load(&r.began), 0);
	CHECK_EQ(atomic_load(&r.over), 0);
}

TEST(a_stall_that_nobody_is_told_of_can_be_asked_for)
{
	struct fake f;
	struct rl_watch *w = open_watch(2 * MS, 5 * MS, NULL);
	pretend_shard(&f);
	enter(&f, w);
	begin(&f);
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	while (atomic_load(&f.shard.stalled_ns) == 0 && clock_ns(CLOCK_MONOTONIC) < limit)
		sched_yield();
	CHECK(atomic_load(&f.shard.stalled_ns) != 0);
	leave(&f);
	CHECK_EQ(atomic_load(&f.shard.stalled_ns), 0);
	rl_watch_close(w);
}

static struct report *told; /* of the test that follows */

static void leave_while_told(struct fake *f)
{
	begin(f);
	await(&told->began, 1);
	leave(f);
	CHECK_EQ(atomic_load(&told->inside), 0);
	atomic_store(&told->over, 100);
	enter(f, f->watch);
}

TEST(leave_waits_for_a_report_and_ends_them)
{
	struct fake f;
	struct report r;
	struct rl_watch *w = open_watch(2 * MS, 5 * MS, &r);
	told = &r;
	atomic_store(&r.hold, true);
	pthread_t thread = start(&f, w, leave_while_told);
	await(&r.began, 1);
	usleep(20000); /* leave is most likely waiting now; when it is not, the test proves less */
	atomic_store(&r.hold, false);
	await(&r.over, 100);
	stop(&f, thread);
	rl_watch_close(w);
	CHECK_EQ(atomic_load(&r.over), 100);
}

/* The number on the line `key` of a thread's status, or -1. */
static long status_of(const char *task, const char *key)
{
	char path[300], line[256];
	long value = -1;
	snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtol(line + strlen(key), NULL, 10);
	if (file)
		fclose(file);
	return value;
}

/* How often the watchdog has gone to sleep, of whatever kind; -1: there is no such thread. */
static long watchdog_waits(void)
{
	char path[300], name[32];
	long waits = -1;
	DIR *dir = opendir("/proc/self/task");
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
		FILE *file = fopen(path, "r");
		if (file && fgets(name, sizeof name, file) && strcmp(name, "ringlet-watch\n") == 0)
			waits = status_of(e->d_name, "voluntary_ctxt_switches:");
		if (file)
			fclose(file);
	}
	closedir(dir);
	return waits;
}

/* Until both shards must wake it, and it has not stirred for 50 ms, which is 250 of its ticks.
 * Returns watchdog_waits. */
static long await_sleep(const struct fake *f, const struct fake *g)
{
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	long waits = 0;
	bool sleeps = false;
	while (!sleeps && clock_ns(CLOCK_MONOTONIC) < limit) {
		long before = watchdog_waits();
		usleep(50000);
		waits = watchdog_waits();
		sleeps = waits == before && atomic_load(&f->shard.unwatched)
			&& atomic_load(&g->shard.unwatched);
	}
	CHECK(sleeps && waits > 0);
	return waits;
}

/* ---- scheduling and starvation --------------------------------------------------------------- */

static pid_t watchdog_tid(void)
{
	char path[300], name[32];
	pid_t tid = 0;
	DIR *dir = opendir("/proc/self/task");
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
		FILE *file = fopen(path, "r");
		if (file && fgets(name, sizeof name, file) && strcmp(name, "ringlet-watch\n") == 0)
			tid = (pid_t)atoi(e->d_name);
		if (file)
			fclose(file);
	}
	closedir(dir);
	return tid;
}

static bool is_allowed(const struct rl_sched *s)
{
	bool back = false;
	return rl_sched_try(s, &back) == 0 && back;
}

static struct rl_sched watchdog_class(void)
{
	struct rl_sched s = {0};
	CHECK_EQ(rl_sched_get(watchdog_tid(), &s), 0);
	return s;
}

TEST(goes_before_shards_with_real_time_priority)
{
	struct rl_watch_config config = {.slice_ns = 2 * MS, .priority = 10};
	struct rl_watch *w = NULL;
	const struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 11};
	if (!is_allowed(&fifo))
		SKIP("this process may not have real-time priority");
	CHECK_EQ(rl_watch_open(&w, &config), 0);
	CHECK_EQ(watchdog_class().policy, SCHED_FIFO);
	CHECK_EQ(watchdog_class().priority, 11);
	rl_watch_close(w);
}

/* A program that was started with chrt(1). */
TEST(goes_before_the_thread_that_opens_it)
{
	struct rl_watch_config config = {.slice_ns = 2 * MS};
	struct rl_sched_saved saved;
	struct rl_watch *w = NULL;
	const struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 21};
	if (!is_allowed(&fifo))
		SKIP("this process may not have real-time priority");
	CHECK_EQ(rl_sched_save(&saved), 0);
	CHECK_EQ(rl_sched_set(&(struct rl_sched){.policy = SCHED_FIFO, .priority = 20}), 0);
	CHECK_EQ(rl_watch_open(&w, &config), 0);
	CHECK_EQ(watchdog_class().priority, 21);
	rl_watch_close(w);
	CHECK_EQ(rl_sched_restore(&saved), 0);
}

TEST(has_a_lower_nice_value_than_shards)
{
	struct rl_watch_config config = {.slice_ns = 2 * MS, .nice = -7};
	struct rl_watch *w = NULL;
	const struct rl_sched other = {.policy = SCHED_OTHER, .nice = -7};
	if (!is_allowed(&other))
		SKIP("this process may not lower its nice value");
	if (getpriority(PRIO_PROCESS, 0) < -7)
		SKIP("this process has a lower nice value itself");
	CHECK_EQ(rl_watch_open(&w, &config), 0);
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	while (watchdog_class().nice != -7 && clock_ns(CLOCK_MONOTONIC) < limit)
		usleep(1000);
	CHECK_EQ(watchdog_class().nice, -7);
	rl_watch_close(w);
}

#define CANNOT 77 /* give up its privileges */

TEST(is_not_opened_when_it_cannot_go_before_shards)
{
	struct rl_watch_config config = {.slice_ns = 2 * MS, .priority = 10};
	struct sigaction now;
	struct rl_watch *w = NULL;
	if (geteuid() != 0)
		SKIP("to give up privileges one has to have them");
	pid_t child = fork();
	if (child == 0) {
		struct rlimit none = {0, 0};
		if (setrlimit(RLIMIT_RTPRIO, &none) < 0 || setuid(65534) < 0)
			_exit(CANNOT);
		bool done = rl_watch_open(&w, &config) == -EPERM
			&& sigaction(SIGURG, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
		config.priority = 0;
		_exit(done && rl_watch_open(&w, &config) == 0 ? 0 : 1);
	}
	int status = -1;
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		SKIP("this process may not become another user's");
	CHECK_EQ(status, 0);
}

/* A shard that shares one core with somebody who does not let it run. */
struct hungry {
	struct rl_watch *watch;
	cpu_set_t cpus;
	atomic_int began, over, starve, wrong;
	atomic_bool fed;
	_Atomic int64_t lasted_ns;
	bool runs;                    /* a task, while it starves */
	bool idle;                    /* its class is SCHED_IDLE */
};

static void on_starved(void *arg, struct rl_shard *s, int64_t ns, bool over)
{
	struct hungry *h = arg;
	(void)s;
	atomic_fetch_add(over ? &h->over : &h->began, 1);
	atomic_fetch_add(&h->wrong, ns < 50 * MS);
	if (over)
		h->lasted_ns = ns;
}

static void *hungry_main(void *arg)
{
	struct hungry *h = arg;
	struct fake f;
	pretend_shard(&f);
	sched_setaffinity(0, sizeof h->cpus, &h->cpus);
	enter(&f, h->watch);
	if (h->idle)
		CHECK_EQ(rl_sched_set(&(struct rl_sched){.policy = SCHED_IDLE}), 0);
	if (h->runs)
		begin(&f);
	atomic_store(&h->starve, 1);
	while (!atomic_load(&h->fed))
		if (!h->runs) {
			begin(&f); /* keeps the watchdog awake */
			end(&f);
			usleep(1000);
		}
	if (h->runs)
		end(&f);
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	while (atomic_load(&h->began) > 0 && atomic_load(&h->over) == 0
		&& clock_ns(CLOCK_MONOTONIC) < limit)
		usleep(1000);
	leave(&f);
	return NULL;
}

static bool is_told(struct hungry *h)
{
	return atomic_load(&h->began) + atomic_load(&h->over) > 0;
}

/* Keep its core from it until the watchdog tells of that. With real-time priority that is sure, for
 * the most part of a second at least; else it depends on what the kernel gives a thread of the
 * class SCHED_IDLE beside an ordinary one. */
static void take_its_core(struct hungry *h)
{
	struct rl_sched_saved saved;
	cpu_set_t before;
	CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
	CHECK_EQ(rl_sched_save(&saved), 0);
	CHECK_EQ(sched_setaffinity(0, sizeof h->cpus, &h->cpus), 0);
	if (!h->idle)
		CHECK_EQ(rl_sched_set(&(struct rl_sched){.policy = SCHED_FIFO, .priority = 1}), 0);
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + (h->idle ? 5000 * MS : PATIENCE_NS);
	while (!is_told(h) && clock_ns(CLOCK_MONOTONIC) < limit)
		;
	CHECK_EQ(rl_sched_restore(&saved), 0);
	sched_setaffinity(0, sizeof before, &before);
}

static void starve_one(bool runs)
{
	static struct hungry h;
	struct rl_watch_config config = {
		.slice_ns = 10 * MS, .starve_ns = 50 * MS, .starved = on_starved, .arg = &h,
	};
	const struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 2};
	pthread_t id;
	memset(&h, 0, sizeof h);
	h.runs = runs;
	h.idle = !is_allowed(&fifo);
	config.priority = h.idle ? 0 : 1;
	CPU_ZERO(&h.cpus);
	CPU_SET(sched_getcpu(), &h.cpus);
	CHECK_EQ(rl_watch_open(&h.watch, &config), 0);
	CHECK_EQ(pthread_create(&id, NULL, hungry_main, &h), 0);
	await(&h.starve, 1);
	take_its_core(&h);
	bool starved = is_told(&h);
	atomic_store(&h.fed, true);
	pthread_join(id, NULL);
	rl_watch_close(h.watch);
	if (!starved && h.idle)
		SKIP("the kernel lets a thread of the class SCHED_IDLE run beside one that spins");
	CHECK(atomic_load(&h.over) > 0 && h.lasted_ns >= 50 * MS);
	CHECK_EQ(atomic_load(&h.wrong), 0);
}

TEST(a_run_that_gets_no_core_is_told_of)
{
	starve_one(true);
}

TEST(a_shard_that_gets_no_core_when_it_wakes_is_told_of)
{
	starve_one(false);
}

/* Blocks, and is not even woken by signals: each time it might have to wait for a core. */
static void block_deaf(struct fake *f)
{
	sigset_t urg;
	sigemptyset(&urg);
	sigaddset(&urg, SIGURG);
	pthread_sigmask(SIG_BLOCK, &urg, NULL);
	block(f);
}

/* Block for half a second. How long the thread had to wait for a core in its life. */
static int64_t block_for_long(struct rl_watch *w)
{
	struct fake f;
	pthread_t thread = start(&f, w, block_deaf);
	usleep(500000);
	stop(&f, thread);
	return f.waited_ns;
}

TEST(a_run_that_blocks_is_not_starved)
{
	enum { TRIES = 10 };
	bool busy = true;
	for (int i = 0; i < TRIES && busy; i++) {
		struct hungry h = {.runs = true};
		struct rl_watch_config config = {
			.slice_ns = 10 * MS, .starve_ns = 50 * MS, .starved = on_starved, .arg = &h,
		};
		CHECK_EQ(rl_watch_open(&h.watch, &config), 0);
		busy = block_for_long(h.watch) >= 50 * MS;
		rl_watch_close(h.watch);
		CHECK(busy || !is_told(&h));
	}
	if (busy)
		SKIP("on this machine a thread that hardly ever runs waits for its core too long");
}

/* ---- sleeping -------------------------------------------------------------------------------- */

TEST(sleeps_while_all_shards_are_quiet_and_is_woken_by_any)
{
	struct fake f, g;
	struct rl_watch *w = open_watch(2 * MS, 0, NULL);
	pthread_t thread = start(&g, w, run_never);
	pretend_shard(&f);
	enter(&f, w);
	for (int i = 0; i < 3; i++) {
		long waits = await_sleep(&f, &g);
		begin(&f);
		CHECK(!atomic_load(&f.shard.unwatched) && !atomic_load(&g.shard.unwatched));
		await(&f.preempted, atomic_load(&f.preempted) + 20);
		CHECK(watchdog_waits() > waits);
		end(&f);
	}
	leave(&f);
	stop(&g, thread);
	rl_watch_close(w);
}

TEST(looking_for_starvation_wakes_nobody)
{
	static struct hungry h;
	struct rl_watch_config config = {
		.slice_ns = 2 * MS, .starve_ns = 10 * MS, .starved = on_starved, .arg = &h,
	};
	struct rl_watch *w = NULL;
	struct fake f, g;
	CHECK_EQ(rl_watch_open(&w, &config), 0);
	pthread_t thread = start(&g, w, run_never);
	pretend_shard(&f);
	enter(&f, w);
	for (int i = 0; i < 2; i++) {
		await_sleep(&f, &g);
		begin(&f);
		await(&f.preempted, atomic_load(&f.preempted) + 1);
		end(&f);
	}
	leave(&f);
	stop(&g, thread);
	rl_watch_close(w);
}

TEST(one_busy_shard_keeps_it_awake_for_all)
{
	struct fake f, hog;
	struct rl_watch *w = open_watch(2 * MS, 0, NULL);
	pthread_t thread = start(&hog, w, overrun);
	pretend_shard(&f);
	enter(&f, w);
	await(&hog.preempted, 1);
	int64_t until = clock_ns(CLOCK_MONOTONIC) + 150 * MS;
	while (clock_ns(CLOCK_MONOTONIC) < until) {
		CHECK(!atomic_load(&f.shard.unwatched));
		usleep(1000);
	}
	leave(&f);
	stop(&hog, thread);
	rl_watch_close(w);
}

TEST(a_shard_that_enters_while_it_sleeps_wakes_it_with_its_first_run)
{
	struct fake f;
	struct rl_watch *w = open_watch(2 * MS, 0, NULL);
	int64_t limit = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	pretend_shard(&f);
	for (bool sleeps = false; !sleeps && clock_ns(CLOCK_MONOTONIC) < limit; leave(&f)) {
		enter(&f, w);
		sleeps = atomic_load(&f.shard.unwatched);
	}
	CHECK(!atomic_load(&f.shard.unwatched));
	enter(&f, w);
	CHECK(atomic_load(&f.shard.unwatched));
	begin(&f);
	await(&f.preempted, 1);
	end(&f);
	leave(&f);
	rl_watch_close(w);
}

/* The watchdog, its lock and who waits on its conditions stay behind in the parent. */
TEST(a_forked_child_can_leave_and_close)
{
	struct fake f;
	struct rl_watch *w = open_watch(2 * MS, 0, NULL);
	int status = -1;
	pretend_shard(&f);
	enter(&f, w);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		rl_watch_wake(w);
		leave(&f);
		rl_watch_close(w);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	leave(&f);
	rl_watch_close(w);
}

int main(void)
{
	RUN(preempts_a_run_that_lasts);
	RUN(refuses_a_taken_signal_and_restores_a_free_one);
	RUN(only_the_shard_that_overruns_gets_signals);
	RUN(each_of_two_shards_that_overrun_gets_its_own_signals);
	RUN(a_run_that_gets_no_core_is_preempted_and_no_overrun);
	RUN(shards_come_and_go_beside_others_that_overrun);
	RUN(a_late_signal_finds_no_shard);
	RUN(a_tick_interrupts_for_who_goes_before_and_not_otherwise);
	RUN(ticks_come_before_the_slice_only_while_something_may_come);
	RUN(a_slice_is_a_slice_with_ticks_too);
	RUN(the_signal_is_lent_to_a_thread_that_is_no_shards);
	RUN(a_stall_is_told_once_and_so_is_its_end);
	RUN(a_run_that_gets_no_core_stalls_its_shard);
	RUN(no_stall_is_told_below_its_time);
	RUN(a_stall_that_nobody_is_told_of_can_be_asked_for);
	RUN(leave_waits_for_a_report_and_ends_them);
	RUN(goes_before_shards_with_real_time_priority);
	RUN(goes_before_the_thread_that_opens_it);
	RUN(has_a_lower_nice_value_than_shards);
	RUN(is_not_opened_when_it_cannot_go_before_shards);
	RUN(a_run_that_gets_no_core_is_told_of);
	RUN(a_shard_that_gets_no_core_when_it_wakes_is_told_of);
	RUN(a_run_that_blocks_is_not_starved);
	RUN(sleeps_while_all_shards_are_quiet_and_is_woken_by_any);
	RUN(looking_for_starvation_wakes_nobody);
	RUN(one_busy_shard_keeps_it_awake_for_all);
	RUN(a_shard_that_enters_while_it_sleeps_wakes_it_with_its_first_run);
	RUN(a_forked_child_can_leave_and_close);
	return FINISH();
}
