/* SPDX-License-Identifier: MIT */
/* sim_file_test: real files, sockets in memory. */
#define _GNU_SOURCE
#include "sim_probe.h"

#include "os/file.h"

#include <unistd.h>

static char name[] = "/tmp/rl-sim-file-XXXXXX";
static char data[100000];

TEST(what_a_socket_has_room_for_is_sent)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server, n, sent = 0;
	pair(os, &client, &server, 65536);
	int fd = os->ops->file_open(os, RL_FILE_ROOTLESS, name);
	CHECK(fd >= 0);
	for (n = 1; n > 0; sent += n > 0 ? n : 0)
		n = os->ops->file_send(os, client, fd, sent, 50000);
	CHECK_EQ(n, -EAGAIN);
	CHECK_EQ(sent, 65536);
	CHECK_EQ(os->ops->file_send(os, client, fd, 0, 0), 0);
	CHECK_EQ(os->ops->file_send(os, client + 1000, fd, 0, 1), -EBADF);
	os->ops->close_now(os, server);
	settle(os);
	n = os->ops->file_send(os, client, fd, 0, 1000);
	CHECK(n == -ECONNRESET || n == -EPIPE);
	CHECK_EQ(os->ops->file_send(os, client, fd, 0, 1000), -EPIPE);
	rl_file_close(fd);
	close_sim(os);
}

TEST(what_is_sent_at_once_comes_before)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	pair(os, &client, &server, 1000);
	int fd = os->ops->file_open(os, RL_FILE_ROOTLESS, name);
	CHECK_EQ(os->ops->send_now(os, client, "head", 4, true), 4);
	CHECK_EQ(os->ops->send_now(os, client, "", 0, true), 0);
	CHECK_EQ(os->ops->file_send(os, client, fd, 0, 2000), 996);
	CHECK_EQ(os->ops->send_now(os, client, "x", 1, false), -EAGAIN);
	CHECK_EQ(os->ops->send_now(os, client + 1000, "x", 1, false), -EBADF);
	rl_file_close(fd);
	close_sim(os);
}

TEST(the_end_of_a_file_is_0)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	pair(os, &client, &server, 65536);
	int fd = os->ops->file_open(os, RL_FILE_ROOTLESS, name);
	CHECK_EQ(os->ops->file_send(os, client, fd, sizeof data - 10, 50), 10);
	CHECK_EQ(os->ops->file_send(os, client, fd, sizeof data, 50), 0);
	rl_file_close(fd);
	close_sim(os);
}

TEST(fault_cold_file)
{
	struct rl_os *os = open_sim(1, "cold_file=1");
	CHECK_EQ(os->ops->file_open(os, RL_FILE_ROOTLESS, name), -EAGAIN);
	int fd = rl_file_open(RL_FILE_ROOTLESS, name);
	CHECK_EQ(os->ops->file_read(os, fd, data, 10, 0), -EAGAIN);
	close_sim(os);
	os = open_sim(1, NULL);
	CHECK_EQ(os->ops->file_read(os, fd, data, 10, 0), 10);
	rl_file_close(fd);
	close_sim(os);
}

int main(void)
{
	int fd = mkstemp(name);
	if (fd < 0 || write(fd, data, sizeof data) != sizeof data)
		return 1;
	close(fd);
	RUN(what_a_socket_has_room_for_is_sent);
	RUN(what_is_sent_at_once_comes_before);
	RUN(the_end_of_a_file_is_0);
	RUN(fault_cold_file);
	unlink(name);
	return FINISH();
}
