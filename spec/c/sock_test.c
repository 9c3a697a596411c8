/* SPDX-License-Identifier: MIT */
/* sock: descriptors never block and are not inherited; errors are negative codes. */
#include "uring_check.h"

#include "os/sock.h"

#include <fcntl.h>

TEST(sockets_are_non_blocking_and_closed_on_exec)
{
	int fd = rl_sock_socket(NULL, AF_INET, SOCK_STREAM);
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	rl_sock_close_now(NULL, fd);
	CHECK(fcntl(fd, F_GETFD) < 0);
}

TEST(errors_are_codes)
{
	struct sockaddr_in addr = loopback();
	socklen_t len = sizeof(addr);
	CHECK_EQ(rl_sock_socket(NULL, -1, SOCK_STREAM), -EAFNOSUPPORT);
	CHECK_EQ(rl_sock_bind(NULL, -1, (struct sockaddr *)&addr, len), -EBADF);
	CHECK_EQ(rl_sock_listen(NULL, -1, 1), -EBADF);
	CHECK_EQ(rl_sock_setsockopt(NULL, -1, SOL_SOCKET, SO_REUSEADDR, &len, sizeof(len)), -EBADF);
	CHECK_EQ(rl_sock_getsockopt(NULL, -1, SOL_SOCKET, SO_ERROR, &addr, &len), -EBADF);
	CHECK_EQ(rl_sock_getsockname(NULL, -1, (struct sockaddr *)&addr, &len), -EBADF);
	CHECK_EQ(rl_sock_getpeername(NULL, -1, (struct sockaddr *)&addr, &len), -EBADF);
}

TEST(what_is_sent_at_once_does_not_wait)
{
	int pair[2], n = 1;
	char data[8];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	CHECK_EQ(rl_sock_send_now(NULL, pair[0], "abc", 3, true), 3);
	CHECK_EQ(read(pair[1], data, sizeof data), 3);
	for (int i = 0; i < 1000000 && n > 0; i++)
		n = rl_sock_send_now(NULL, pair[0], "abc", 3, false);
	CHECK_EQ(n, -EAGAIN);
	close(pair[1]);
	CHECK_EQ(rl_sock_send_now(NULL, pair[0], "abc", 3, false), -EPIPE);
	close(pair[0]);
}

TEST(clocks_go_forward)
{
	int64_t now = rl_sock_now(NULL);
	CHECK(rl_sock_now(NULL) >= now);
	CHECK(rl_sock_time(NULL) > 1600000000 * SECOND);
}

int main(void)
{
	RUN(sockets_are_non_blocking_and_closed_on_exec);
	RUN(errors_are_codes);
	RUN(what_is_sent_at_once_does_not_wait);
	RUN(clocks_go_forward);
	return FINISH();
}
