/* SPDX-License-Identifier: MIT */
/*
 * sched: see sched.h. The system calls are made directly: glibc has no wrapper for them, and its
 * pthread_setschedparam knows neither nice values nor slices.
 */
#define _GNU_SOURCE
#include "os/sched.h"

#include "base/err.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESET_ON_FORK 1ULL

_Static_assert(sizeof(struct rl_sched_attr) == 48, "the first version of struct sched_attr");

static int get_attr(pid_t tid, struct rl_sched_attr *out)
{
	return syscall(SYS_sched_getattr, tid, out, sizeof(*out), 0) < 0 ? -errno : 0;
}

static int set_attr(struct rl_sched_attr *attr)
{
	attr->size = sizeof(*attr);
	return syscall(SYS_sched_setattr, 0, attr, 0) < 0 ? -errno : 0;
}

static bool has_nice(uint32_t policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH;
}

int rl_sched_get(pid_t tid, struct rl_sched *out)
{
	struct rl_sched_attr attr;
	int err = get_attr(tid, &attr);
	if (err < 0)
		return err;
	*out = (struct rl_sched){
		.policy = attr.policy, .nice = getpriority(PRIO_PROCESS, (id_t)tid),
		.priority = attr.priority,
		.slice_ns = has_nice(attr.policy) ? (int64_t)attr.runtime : 0,
	};
	return 0;
}

int rl_sched_set(const struct rl_sched *s)
{
	struct rl_sched_attr now, attr = {.policy = s->policy};
	int err = get_attr(0, &now);
	if (err < 0)
		return err;
	if (has_nice(s->policy)) {
		attr.nice = s->nice != RL_SCHED_KEEP ? s->nice : getpriority(PRIO_PROCESS, 0);
		attr.runtime = (uint64_t)s->slice_ns;
	} else if (rl_sched_is_realtime(s->policy)) {
		attr.priority = s->priority;
	}
	attr.flags = now.flags & RESET_ON_FORK;
	if (attr.priority > 0 || attr.nice < 0)
		attr.flags |= RESET_ON_FORK;
	return set_attr(&attr);
}

int rl_sched_save(struct rl_sched_saved *out)
{
	out->nice = getpriority(PRIO_PROCESS, 0);
	return get_attr(0, &out->attr);
}

int rl_sched_restore(const struct rl_sched_saved *saved)
{
	struct rl_sched_attr attr = saved->attr;
	int err = set_attr(&attr);
	if (err == -EPERM) {
		attr.flags |= RESET_ON_FORK;
		err = set_attr(&attr);
	}
	if (err == 0 && !has_nice(attr.policy) && setpriority(PRIO_PROCESS, 0, saved->nice) < 0)
		err = -errno;
	return err;
}

struct trial {
	const struct rl_sched *wanted;
	int err;
	bool back;
};

static void *trial_main(void *arg)
{
	struct trial *t = arg;
	struct rl_sched_saved saved;
	t->err = rl_sched_save(&saved);
	if (t->err == 0)
		t->err = rl_sched_set(t->wanted);
	if (t->err == 0)
		t->back = rl_sched_restore(&saved) == 0;
	return NULL;
}

int rl_sched_try(const struct rl_sched *s, bool *back)
{
	struct trial t = {.wanted = s};
	sigset_t all, before;
	pthread_t id;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&id, NULL, trial_main, &t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0)
		return -err;
	pthread_join(id, NULL);
	*back = t.back;
	return t.err;
}
