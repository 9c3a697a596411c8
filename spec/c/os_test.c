/* SPDX-License-Identifier: MIT */
/* os: the backend is found by name, and a failure says what to do. */
#include "uring_check.h"

#include "os/probe.h"

TEST(opening_explains_itself)
{
	struct rl_os *none;
	const char *why = NULL;
	CHECK_EQ(rl_os_open(&none, "kqueue", NULL, &why), -EINVAL);
	CHECK(none == NULL && why && strstr(why, "uring"));
	CHECK_EQ(rl_os_open(&none, "kqueue", NULL, NULL), -EINVAL);
	CHECK(strstr(rl_probe_why(-EPERM), "kernel.io_uring_disabled"));
	CHECK(strstr(rl_probe_why(-ENOSYS), "seccomp"));
	if (!start(NULL))
		SKIP(no_os);
	CHECK(strcmp(os->ops->name, "uring") == 0);
	finish();
	CHECK_EQ(rl_os_open(&none, "uring", &(struct rl_os_config){ .buf_count = 3 }, &why), -EINVAL);
	CHECK_EQ(rl_os_open(&os, "auto", NULL, &why), 0);
	finish();
}

int main(void)
{
	RUN(opening_explains_itself);
	return FINISH();
}
