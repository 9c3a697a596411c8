/* SPDX-License-Identifier: MIT */
/*
 * sched: a thread of the test goes through the classes and back. What needs privileges is skipped
 * without; what is refused without them is tried in a child that has given them up.
 */
#define _GNU_SOURCE
#include "check.h"
#include "base/err.h"
#include "os/sched.h"

#include <grp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static struct rl_sched here(void)
{
	struct rl_sched s;
	CHECK_EQ(rl_sched_get(0, &s), 0);
	return s;
}

static bool is_allowed(const struct rl_sched *s)
{
	bool back = false;
	return rl_sched_try(s, &back) == 0 && back;
}

TEST(a_class_is_set_read_and_taken_back)
{
	static const struct rl_sched all[] = {
		{.policy = SCHED_OTHER, .nice = 5, .slice_ns = 1000000},
		{.policy = SCHED_BATCH, .nice = -3},
		{.policy = SCHED_IDLE},
		{.policy = SCHED_FIFO, .priority = 7},
		{.policy = SCHED_RR, .priority = 3},
	};
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct rl_sched_saved saved;
		if (!is_allowed(&all[i]))
			SKIP("this process may not be in all classes");
		struct rl_sched before = here();
		CHECK_EQ(rl_sched_save(&saved), 0);
		CHECK_EQ(rl_sched_set(&all[i]), 0);
		struct rl_sched now = here();
		CHECK_EQ(now.policy, all[i].policy);
		CHECK_EQ(now.priority, all[i].priority);
		if (i < 2)
			CHECK_EQ(now.nice, all[i].nice);
		if (all[i].slice_ns && now.slice_ns) /* since Linux 6.12 */
			CHECK_EQ(now.slice_ns, all[i].slice_ns);
		CHECK_EQ(rl_sched_restore(&saved), 0);
		now = here();
		CHECK_EQ(now.policy, before.policy);
		CHECK_EQ(now.nice, before.nice);
		CHECK_EQ(now.priority, before.priority);
		if (before.slice_ns)
			CHECK_EQ(now.slice_ns, saved.attr.runtime);
	}
}

TEST(a_nice_value_can_be_kept)
{
	struct rl_sched_saved saved, between;
	struct rl_sched nice = {.policy = SCHED_OTHER, .nice = 4};
	if (!is_allowed(&nice))
		SKIP("this process may not lower its nice value");
	CHECK_EQ(rl_sched_save(&saved), 0);
	CHECK_EQ(rl_sched_set(&nice), 0);
	CHECK_EQ(rl_sched_set(&(struct rl_sched){.policy = SCHED_BATCH, .nice = RL_SCHED_KEEP}), 0);
	CHECK_EQ(here().nice, 4);
	CHECK_EQ(rl_sched_save(&between), 0);
	CHECK_EQ(rl_sched_set(&(struct rl_sched){.policy = SCHED_IDLE}), 0);
	CHECK_EQ(here().nice, 4);
	CHECK_EQ(rl_sched_restore(&between), 0);
	CHECK_EQ(here().policy, SCHED_BATCH);
	CHECK_EQ(here().nice, 4);
	CHECK_EQ(rl_sched_restore(&saved), 0);
}

/* A real-time thread has a nice value too, which it will need again. */
TEST(what_a_real_time_thread_goes_back_to)
{
	struct rl_sched_saved ordinary, realtime;
	struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 5};
	struct rl_sched nice = {.policy = SCHED_OTHER, .nice = 9};
	if (!is_allowed(&fifo) || !is_allowed(&nice))
		SKIP("this process may not have real-time priority, or lower its nice value");
	CHECK_EQ(rl_sched_save(&ordinary), 0);
	CHECK_EQ(rl_sched_set(&fifo), 0);
	int before = here().nice;
	CHECK_EQ(rl_sched_save(&realtime), 0);
	CHECK_EQ(rl_sched_set(&nice), 0);
	CHECK_EQ(rl_sched_restore(&realtime), 0);
	CHECK_EQ(here().policy, SCHED_FIFO);
	CHECK_EQ(here().nice, before);
	CHECK_EQ(rl_sched_restore(&ordinary), 0);
}

static int exit_code(pid_t child)
{
	int status = 0;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(children_of_a_real_time_thread_are_ordinary)
{
	struct rl_sched_saved saved;
	struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 5};
	if (!is_allowed(&fifo))
		SKIP("this process may not have real-time priority");
	CHECK_EQ(rl_sched_save(&saved), 0);
	CHECK_EQ(rl_sched_set(&fifo), 0);
	pid_t child = fork();
	if (child == 0)
		_exit((int)here().policy);
	CHECK_EQ(exit_code(child), SCHED_OTHER);
	CHECK_EQ(rl_sched_restore(&saved), 0);
}

/* Whatever class and nice value the test was started with. */
static bool become_ordinary(void)
{
	return rl_sched_set(&(struct rl_sched){.policy = SCHED_OTHER}) == 0;
}

static bool become_nobody(rlim_t rtprio, rlim_t nice)
{
	struct rlimit rt = {rtprio, rtprio}, ni = {nice, nice};
	return setrlimit(RLIMIT_RTPRIO, &rt) == 0 && setrlimit(RLIMIT_NICE, &ni) == 0
		&& setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

#define CANNOT 77 /* become nobody with these limits */

/* In a child that is nobody, with these limits: what `fn` returns. */
static int as_nobody(int (*fn)(void), rlim_t rtprio, rlim_t nice)
{
	pid_t child = fork();
	if (child != 0)
		return exit_code(child);
	_exit(become_ordinary() && become_nobody(rtprio, nice) ? fn() : CANNOT);
}

static int refused(void)
{
	bool back = true;
	int fails = 0;
	fails += rl_sched_try(&(struct rl_sched){.policy = SCHED_FIFO, .priority = 1}, &back) != -EPERM;
	fails += rl_sched_try(&(struct rl_sched){.policy = SCHED_OTHER, .nice = -1}, &back) != -EPERM;
	/* Allowed, but there is no way back. */
	fails += rl_sched_try(&(struct rl_sched){.policy = SCHED_IDLE}, &back) != 0 || back;
	struct rl_sched nice = {.policy = SCHED_OTHER, .nice = 19};
	fails += rl_sched_try(&nice, &back) != 0 || back;
	struct rl_sched batch = {.policy = SCHED_BATCH, .nice = RL_SCHED_KEEP};
	fails += rl_sched_try(&batch, &back) != 0 || !back;
	return fails;
}

static int allowed_by_limits(void)
{
	struct rl_sched_saved saved;
	struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 7};
	bool back = false;
	int fails = rl_sched_try(&fifo, &back) != 0 || !back;
	fifo.priority = 8;
	fails += rl_sched_try(&fifo, &back) != -EPERM;
	fifo.priority = 7;
	fails += rl_sched_save(&saved) != 0 || rl_sched_set(&fifo) != 0;
	fails += rl_sched_restore(&saved) != 0 || here().policy != SCHED_OTHER;
	struct rl_sched other = {.policy = SCHED_OTHER, .nice = 5};
	fails += rl_sched_try(&other, &back) != 0 || !back;
	return fails;
}

TEST(without_privileges_it_is_refused)
{
	if (geteuid() != 0)
		SKIP("to give up privileges one has to have them");
	int code = as_nobody(refused, 0, 0);
	if (code == CANNOT)
		SKIP("this process may not become nobody");
	CHECK_EQ(code, 0);
}

TEST(limits_allow_as_much_as_they_say)
{
	if (geteuid() != 0)
		SKIP("to give up privileges one has to have them");
	const struct rl_sched fifo = {.policy = SCHED_FIFO, .priority = 7};
	if (!is_allowed(&fifo))
		SKIP("this machine has no real-time CPU time for this process");
	int code = as_nobody(allowed_by_limits, 7, 20);
	if (code == CANNOT)
		SKIP("this process may not raise its limits");
	CHECK_EQ(code, 0);
}

/* The flag that children inherit nothing stays, as it may not be cleared. */
static int goes_back_as_nobody(void)
{
	struct rl_sched_saved saved, now;
	bool done = become_ordinary() && rl_sched_save(&saved) == 0
		&& rl_sched_set(&(struct rl_sched){.policy = SCHED_BATCH, .nice = -5}) == 0
		&& become_nobody(0, 0);
	if (!done)
		return CANNOT;
	return rl_sched_restore(&saved) != 0 || rl_sched_save(&now) != 0
		|| now.attr.policy != saved.attr.policy || now.attr.nice != saved.attr.nice
		|| now.attr.flags == 0;
}

TEST(a_flag_that_may_not_be_cleared_does_not_keep_a_thread_from_going_back)
{
	pid_t child = fork();
	if (child == 0)
		_exit(goes_back_as_nobody());
	int code = exit_code(child);
	if (code == CANNOT)
		SKIP("this process may not have a lower nice value, or become nobody");
	CHECK_EQ(code, 0);
}

TEST(what_the_kernel_does_not_have_is_invalid)
{
	bool back = false;
	CHECK_EQ(rl_sched_try(&(struct rl_sched){.policy = 99}, &back), -EINVAL);
	CHECK_EQ(rl_sched_try(&(struct rl_sched){.policy = SCHED_FIFO, .priority = 0}, &back), -EINVAL);
	CHECK_EQ(rl_sched_try(&(struct rl_sched){.policy = SCHED_FIFO, .priority = 100}, &back),
		-EINVAL);
	CHECK_EQ(rl_sched_get(0x7fffffff, &(struct rl_sched){0}), -ESRCH);
}

int main(void)
{
	RUN(a_class_is_set_read_and_taken_back);
	RUN(a_nice_value_can_be_kept);
	RUN(what_a_real_time_thread_goes_back_to);
	RUN(children_of_a_real_time_thread_are_ordinary);
	RUN(without_privileges_it_is_refused);
	RUN(limits_allow_as_much_as_they_say);
	RUN(a_flag_that_may_not_be_cleared_does_not_keep_a_thread_from_going_back);
	RUN(what_the_kernel_does_not_have_is_invalid);
	return FINISH();
}
