/* SPDX-License-Identifier: MIT */
/* sock: see sock.h. Every descriptor it makes is non-blocking and closed on exec. */
#include "os/sock.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct rl_sock_note) == 24, "bpf/metrics_types.h has the same");

static int64_t sock_clock(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int sock_result(int ret)
{
	return ret < 0 ? -errno : ret;
}

int64_t rl_sock_now(struct rl_os *os)
{
	(void)os;
	return sock_clock(CLOCK_MONOTONIC);
}

int64_t rl_sock_time(struct rl_os *os)
{
	(void)os;
	return sock_clock(CLOCK_REALTIME);
}

int rl_sock_socket(struct rl_os *os, int family, int type)
{
	(void)os;
	return sock_result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int rl_sock_bind(struct rl_os *os, int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)os;
	return sock_result(bind(fd, addr, len));
}

int rl_sock_listen(struct rl_os *os, int fd, int backlog)
{
	(void)os;
	return sock_result(listen(fd, backlog));
}

int rl_sock_setsockopt(struct rl_os *os, int fd, int level, int name, const void *v, socklen_t n)
{
	(void)os;
	return sock_result(setsockopt(fd, level, name, v, n));
}

int rl_sock_getsockopt(struct rl_os *os, int fd, int level, int name, void *v, socklen_t *n)
{
	(void)os;
	return sock_result(getsockopt(fd, level, name, v, n));
}

int rl_sock_getsockname(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len)
{
	(void)os;
	return sock_result(getsockname(fd, addr, len));
}

int rl_sock_getpeername(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len)
{
	(void)os;
	return sock_result(getpeername(fd, addr, len));
}

int rl_sock_send_now(struct rl_os *os, int fd, const char *data, uint32_t len, bool more)
{
	(void)os;
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	return sock_result((int)send(fd, data, len, flags));
}

void rl_sock_close_now(struct rl_os *os, int fd)
{
	(void)os;
	close(fd);
}

int rl_sock_note(int map_fd, int fd, const struct rl_sock_note *note)
{
	union bpf_attr attr = {
		.map_fd = (uint32_t)map_fd,
		.key = (uint64_t)(uintptr_t)&fd,
		.value = (uint64_t)(uintptr_t)note,
	};
	return sock_result((int)syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof attr));
}
