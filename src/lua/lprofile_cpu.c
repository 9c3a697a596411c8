/* SPDX-License-Identifier: MIT */
/*
 * lprofile_cpu: ticks from a timer of the shard thread's CPU time (timer_create(2), with
 * SIGEV_THREAD_ID), and compiled code that listens to them.
 *
 * LuaJIT: compiled code sees no hooks. Its low-level profiler (luaJIT_profile_start) has it look at
 * a flag where the line or function changes. That profiler brings a timer for the whole process and
 * a handler for SIGPROF; of these its handler alone is used, which sets the flag: our handler calls
 * it, on the thread whose state is profiled. There is one such profiler in a process, so shards are
 * profiled one after the other.
 *
 * Invariants: SIGPROF is ours only while its disposition was the default, on Lua 5.4 between
 * profile_signal(true) and (false) of the shard that leads, on LuaJIT while a shard listens. A
 * timer is deleted by its own thread, before that thread's shard is forgotten: what it has sent has
 * been delivered then.
 */
#define _GNU_SOURCE
#include "lua/lprofile.h"

#include "base/err.h"

#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Thread_local struct rl_profile *volatile profiled;

/* Set the timer to its next time, and return how many times have come: the kernel looks at timers
 * of CPU time only so often. The intervals are uniform in 0.5 to 1.5 periods, so that nothing
 * periodic is always met in the same place. */
static unsigned timer_next(struct rl_profile *p)
{
	struct timespec now;
	struct itimerspec at = {.it_interval = {0, 0}};
	unsigned n = 0;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	double now_ns = (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
	for (; p->next_ns <= now_ns; n++)
		p->next_ns += p->period_ns * (0.5 + (double)(rl_rand_next(&p->rand) >> 11) * 0x1p-53);
	at.it_value.tv_sec = (time_t)(p->next_ns / 1e9);
	at.it_value.tv_nsec = (long)(p->next_ns - (double)at.it_value.tv_sec * 1e9);
	timer_settime(p->timer, TIMER_ABSTIME, &at, NULL);
	return n;
}

static void on_sigprof(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	int saved = errno;
	struct rl_profile *p = profiled;
	if (p && p->timer_on && info->si_code == SI_TIMER)
		rl_profile_tick(p, timer_next(p));
	errno = saved;
}

static bool is_default(const struct sigaction *a)
{
	return !(a->sa_flags & SA_SIGINFO) && a->sa_handler == SIG_DFL;
}

static int signal_set(bool on)
{
	struct sigaction now = {.sa_flags = SA_RESTART | SA_ONSTACK};
	sigemptyset(&now.sa_mask);
	sigaddset(&now.sa_mask, SIGURG);
	if (on) {
		now.sa_flags |= SA_SIGINFO;
		now.sa_sigaction = on_sigprof;
	}
	return sigaction(SIGPROF, &now, NULL) < 0 ? -errno : 0;
}

static int timer_start(struct rl_profile *p)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct timespec now;
	sigset_t set;
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &p->timer) < 0)
		return -errno;
	p->timer_on = true;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_UNBLOCK, &set, &p->mask_before);
	rl_rand_seed(&p->rand, (uint64_t)(uintptr_t)p);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	p->next_ns = (double)now.tv_sec * 1e9 + (double)now.tv_nsec + p->period_ns;
	timer_next(p);
	return 0;
}

static void timer_stop(struct rl_profile *p)
{
	if (!p->timer_on)
		return;
	p->timer_on = false;
	timer_delete(p->timer);
	pthread_sigmask(SIG_SETMASK, &p->mask_before, NULL);
}

/* ---- what listens --------------------------------------------------------------------------- */

#if LUA_VERSION_NUM == 501

/* luajit.h says so; the PUC 5.1 headers do not. Missing where LuaJIT was built without it. */
typedef void (*profile_fn)(void *data, lua_State *L, int samples, int vmstate);
extern __attribute__((weak)) void luaJIT_profile_start(lua_State *L, const char *mode,
	profile_fn fn, void *data);
extern __attribute__((weak)) void luaJIT_profile_stop(lua_State *L);

/* The samples are ours to count: they may have been seen to when the task gave up its turn. */
static void listened(void *data, lua_State *L, int samples, int vmstate)
{
	struct rl_profile *p = data;
	const char *leaf = NULL;
	(void)samples;
	if (!p->h->sampled)
		return;
	if (vmstate == 'G')
		leaf = "(garbage collector)";
	else if (vmstate == 'J')
		leaf = "(JIT compiler)";
	else if (vmstate == 'C')
		leaf = "(C function)";
	rl_profile_take(p, L, 0, p->kind == RL_PROFILE_CPU ? leaf : NULL);
}

static const char *mode_of(const char *detail)
{
	if (strcmp(detail, "none") == 0)
		return "i1000000";
	return strcmp(detail, "line") == 0 ? "li1000000" : "fi1000000";
}

/* The profiler of LuaJIT is started for its handler; its timer is stopped before it goes off. */
int rl_profile_listen(lua_State *L, struct rl_profile *p, const char *detail)
{
	struct sigaction now;
	struct itimerval never = {{0, 0}, {0, 0}};
	if (!luaJIT_profile_start || !luaJIT_profile_stop)
		return -ENOSYS;
	if (sigaction(SIGPROF, NULL, &now) < 0 || !is_default(&now))
		return -EBUSY;
	luaJIT_profile_start(L, mode_of(detail), listened, p);
	setitimer(ITIMER_PROF, &never, NULL);
	if (sigaction(SIGPROF, NULL, &now) < 0 || is_default(&now) || (now.sa_flags & SA_SIGINFO)) {
		luaJIT_profile_stop(L);
		return -EBUSY;
	}
	p->trigger = now.sa_handler;
	profiled = p;
	return signal_set(true);
}

void rl_profile_unlisten(lua_State *L, struct rl_profile *p)
{
	if (!p->trigger)
		return;
	profiled = NULL;
	luaJIT_profile_stop(L);
	p->trigger = NULL;
}

/* profile_signal(on) -> true | nil, code: is SIGPROF free? It is taken when a shard listens. */
static int lprofile_signal(lua_State *L)
{
	struct sigaction now;
	bool busy = sigaction(SIGPROF, NULL, &now) < 0 || !is_default(&now);
	if (lua_toboolean(L, 1) && busy)
		return rl_lua_fail(L, -EBUSY);
	lua_pushboolean(L, 1);
	return 1;
}

#else

int rl_profile_listen(lua_State *L, struct rl_profile *p, const char *detail)
{
	(void)L;
	(void)detail;
	profiled = p;
	return 0;
}

void rl_profile_unlisten(lua_State *L, struct rl_profile *p)
{
	(void)L;
	if (profiled == p)
		profiled = NULL;
}

/* profile_signal(on) -> true | nil, code: SIGPROF is taken for all shards, or given back; by the
 * first shard, see rl_profile_left */
static int lprofile_signal(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct sigaction before;
	bool on = lua_toboolean(L, 1);
	if (on && (sigaction(SIGPROF, NULL, &before) < 0 || !is_default(&before)))
		return rl_lua_fail(L, -EBUSY);
	if (on || h->sigprof)
		signal_set(on);
	h->sigprof = on;
	lua_pushboolean(L, 1);
	return 1;
}

#endif

void rl_profile_left(struct rl_lua *h)
{
	if (h->sigprof)
		signal_set(false);
	h->sigprof = false;
}

int rl_profile_cpu_on(lua_State *L, struct rl_profile *p, const char *detail)
{
	int err = rl_profile_listen(L, p, detail);
	if (err == 0 && p->period_ns > 0)
		err = timer_start(p);
	if (err < 0)
		rl_profile_cpu_off(L, p);
	return err;
}

void rl_profile_cpu_off(lua_State *L, struct rl_profile *p)
{
	timer_stop(p);
	rl_profile_unlisten(L, p);
}

static const luaL_Reg functions[] = {
	{"profile_signal", lprofile_signal},
	{NULL, NULL},
};

void rl_profile_open_cpu(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
