/* SPDX-License-Identifier: MIT */
/*
 * cpuwait: see cpuwait.h. Descriptors are one more than they are, so that 0 is none.
 */
#define _GNU_SOURCE
#include "os/cpuwait.h"

#include "base/err.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_file(int *out, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", gettid(), name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*out = fd + 1;
	return 0;
}

int rl_cpuwait_open(struct rl_cpuwait *c)
{
	*c = (struct rl_cpuwait){0};
	int err = -pthread_getcpuclockid(pthread_self(), &c->clock);
	if (err == 0)
		err = open_file(&c->schedstat, "schedstat");
	if (err == 0)
		err = open_file(&c->stat, "stat");
	if (err < 0)
		rl_cpuwait_close(c);
	return err;
}

void rl_cpuwait_close(struct rl_cpuwait *c)
{
	if (c->schedstat > 0)
		close(c->schedstat - 1);
	if (c->stat > 0)
		close(c->stat - 1);
	c->schedstat = c->stat = 0;
}

int64_t rl_cpuwait_ran_ns(const struct rl_cpuwait *c)
{
	struct timespec now;
	if (clock_gettime(c->clock, &now) < 0)
		return 0;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The first bytes of a file, as text. */
static void read_text(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd - 1, text, size - 1, 0);
	text[n > 0 ? n : 0] = '\0';
}

void rl_cpuwait_read(const struct rl_cpuwait *c, struct rl_cpuwait_counts *out)
{
	char text[96];
	read_text(c->schedstat, text, sizeof(text));
	if (sscanf(text, "%*u %" SCNd64 " %" SCNu64, &out->waited_ns, &out->turns) != 2)
		*out = (struct rl_cpuwait_counts){0};
}

char rl_cpuwait_state(const struct rl_cpuwait *c)
{
	char text[96];
	read_text(c->stat, text, sizeof(text));
	const char *name_end = strrchr(text, ')'); /* a name may have brackets of its own */
	return name_end && name_end[1] == ' ' && name_end[2] ? name_end[2] : '?';
}
