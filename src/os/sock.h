/* SPDX-License-Identifier: MIT */
/*
 * sock: the calls of the seam that never block - sockets, clocks - for every backend that talks to
 * the real kernel. The `os` argument is not used; the shapes are those of rl_os_ops.
 */
#ifndef RL_OS_SOCK_H
#define RL_OS_SOCK_H

#include "os/os.h"

int64_t rl_sock_now(struct rl_os *os);
int64_t rl_sock_time(struct rl_os *os);
int rl_sock_socket(struct rl_os *os, int family, int type);
int rl_sock_bind(struct rl_os *os, int fd, const struct sockaddr *addr, socklen_t len);
int rl_sock_listen(struct rl_os *os, int fd, int backlog);
int rl_sock_setsockopt(struct rl_os *os, int fd, int level, int name, const void *v, socklen_t n);
int rl_sock_getsockopt(struct rl_os *os, int fd, int level, int name, void *v, socklen_t *n);
int rl_sock_getsockname(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);
int rl_sock_getpeername(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len);
int rl_sock_send_now(struct rl_os *os, int fd, const char *data, uint32_t len, bool more);
void rl_sock_close_now(struct rl_os *os, int fd);

/* Whose a socket is, for programs in the kernel: bpf/metrics_types.h has it, too. */
struct rl_sock_note {
	uint64_t task;
	uint32_t shard; /* from 1 */
	uint32_t label;
	uint32_t role, pid; /* 0 */
};

/* Put it into a map of the kernel's socket storage. 0 or -errno. */
int rl_sock_note(int map_fd, int fd, const struct rl_sock_note *note);

#endif
