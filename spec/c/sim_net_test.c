/* SPDX-License-Identifier: MIT */
/*
 * sim_net: descriptors, addresses, options, and how connections begin and end.
 */
#include "sim_probe.h"

#include <netinet/tcp.h>

/* Descriptors, addresses, options. */

TEST(descriptors_are_reused_lowest_first)
{
	struct rl_os *os = open_sim(1, NULL);
	int a = tcp(os), b = tcp(os), c = tcp(os);

	CHECK_EQ(a, 1 << 20);
	CHECK_EQ(b, a + 1);
	CHECK_EQ(c, a + 2);
	os->ops->close_now(os, b);
	CHECK_EQ(do_close(os, a), 0);
	CHECK_EQ(do_close(os, a), -EBADF);
	CHECK_EQ(tcp(os), a);
	CHECK_EQ(tcp(os), b);
	CHECK_EQ(tcp(os), c + 1);
	close_sim(os);
}

TEST(a_closing_descriptor_is_gone_but_not_free)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		int fd = tcp(os);
		struct probe p = probe_of(os, RL_OP_CLOSE, fd);

		rl_os_submit(os, &p.op);
		CHECK_EQ(os->ops->listen(os, fd, 1), -EBADF);
		CHECK_EQ(tcp(os), fd + 1);
		rl_os_cancel(os, &p.op); /* a CLOSE closes all the same */
		settle(os);
		CHECK_EQ(p.res, 0);
		CHECK_EQ(tcp(os), fd);
		close_sim(os);
	}
}

TEST(bad_descriptors_and_arguments)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(80);
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct probe recv, acc;
	socklen_t len = sizeof a;
	int fd = tcp(os);

	CHECK_EQ(os->ops->socket(os, AF_NETLINK, SOCK_STREAM), -EAFNOSUPPORT);
	CHECK_EQ(os->ops->socket(os, AF_INET, SOCK_DGRAM), -ESOCKTNOSUPPORT);
	CHECK(os->ops->socket(os, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC) > 0);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, 4), -EINVAL);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&six, sizeof six), -EAFNOSUPPORT);
	CHECK_EQ(os->ops->getpeername(os, fd, (struct sockaddr *)&a, &len), -ENOTCONN);
	CHECK_EQ(os->ops->getsockname(os, 0, (struct sockaddr *)&a, &len), -EBADF);
	CHECK_EQ(os->ops->listen(os, 3, 1), -EBADF);
	for (int kind = RL_OP_ACCEPT; kind < RL_OP_KINDS; kind++) {
		struct probe real = probe_of(os, kind, 0), gone = probe_of(os, kind, fd + 9);

		CHECK_EQ(run_op(&real), -EBADF);
		CHECK_EQ(run_op(&gone), -EBADF);
		CHECK_EQ(real.flags, 0);
	}
	CHECK_EQ(do_send(os, fd, "x", 1), -EPIPE);
	CHECK_EQ(do_shutdown(os, fd, SHUT_WR), -ENOTCONN);
	recv = probe_of(os, RL_OP_RECV, fd);
	acc = probe_of(os, RL_OP_ACCEPT, fd);
	CHECK_EQ(run_op(&recv), -ENOTCONN);
	CHECK_EQ(run_op(&acc), -EINVAL);
	close_sim(os);
}

TEST(ports_are_chosen_shared_and_refused)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(0), any = {.sin_family = AF_INET, .sin_port = htons(700)};
	socklen_t len = sizeof a;
	int one = listen_on(os, 0, 1), two = tcp(os), three = tcp(os), four = tcp(os);

	os->ops->getsockname(os, one, (struct sockaddr *)&a, &len);
	CHECK_EQ(len, sizeof a);
	CHECK_EQ(ntohs(a.sin_port), 40000);
	CHECK_EQ(os->ops->bind(os, two, (struct sockaddr *)&a, sizeof a), -EADDRINUSE);
	CHECK_EQ(os->ops->listen(os, two, 1), 0); /* binds itself */
	os->ops->getsockname(os, two, (struct sockaddr *)&a, &len);
	CHECK_EQ(ntohs(a.sin_port), 40001);
	CHECK_EQ(os->ops->bind(os, two, (struct sockaddr *)&a, sizeof a), -EINVAL);
	a = loopback(700);
	set_int(os, three, SOL_SOCKET, SO_REUSEPORT, 1);
	set_int(os, four, SOL_SOCKET, SO_REUSEPORT, 1);
	CHECK_EQ(os->ops->bind(os, three, (struct sockaddr *)&a, sizeof a), 0);
	CHECK_EQ(os->ops->bind(os, tcp(os), (struct sockaddr *)&any, sizeof any), -EADDRINUSE);
	CHECK_EQ(os->ops->bind(os, four, (struct sockaddr *)&any, sizeof any), 0);
	CHECK_EQ(os->ops->listen(os, three, 1), 0);
	CHECK_EQ(os->ops->listen(os, four, 1), 0);
	close_sim(os);
}

TEST(reuseport_spreads_connections)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(80);
	struct probe acc[2];

	for (int i = 0; i < 2; i++) {
		int fd = tcp(os);

		set_int(os, fd, SOL_SOCKET, SO_REUSEPORT, 1);
		CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, sizeof a), 0);
		CHECK_EQ(os->ops->listen(os, fd, 8), 0);
		acc[i] = probe_of(os, RL_OP_ACCEPT, fd);
		rl_os_submit(os, &acc[i].op);
	}
	for (int i = 0; i < 40; i++)
		CHECK_EQ(do_connect(os, tcp(os), 80), 0);
	CHECK_EQ(acc[0].fds_len + acc[1].fds_len, 40);
	CHECK(acc[0].fds_len > 8 && acc[1].fds_len > 8);
	cancel_all(os, &acc[0]);
	cancel_all(os, &acc[1]);
	close_sim(os);
}

TEST(a_port_with_connections_needs_reuseaddr)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int client, server, fd;

	pair(os, &client, &server, 0);
	os->ops->getsockname(os, server, (struct sockaddr *)&a, &len);
	fd = tcp(os);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, sizeof a), -EADDRINUSE);
	set_int(os, fd, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, sizeof a), -EADDRINUSE);
	set_int(os, server, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, sizeof a), 0);
	CHECK_EQ(os->ops->listen(os, fd, 1), 0);
	fd = tcp(os);
	set_int(os, fd, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, sizeof a), -EADDRINUSE);
	close_sim(os);
}

TEST(ports_come_back)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof a;
	int client, server;

	pair(os, &client, &server, 0); /* uses 40000 and 40001 */
	do_close(os, client);
	do_close(os, server);
	for (int i = 0; i < 65536 - 40000 - 2 + 1; i++) {
		int fd = tcp(os);

		os->ops->listen(os, fd, 1);
		os->ops->getsockname(os, fd, (struct sockaddr *)&a, &len);
		os->ops->close_now(os, fd);
	}
	CHECK_EQ(ntohs(a.sin_port), 40000);
	close_sim(os);
}

TEST(options_are_remembered_and_inherited)
{
	struct rl_os *os = open_sim(1, NULL);
	int l = listen_on(os, 80, 4), client = tcp(os);
	struct probe acc = probe_of(os, RL_OP_ACCEPT, l);

	CHECK_EQ(get_int(os, client, IPPROTO_TCP, TCP_NODELAY), 0);
	CHECK_EQ(get_int(os, client, SOL_SOCKET, SO_RCVBUF), 65536);
	CHECK_EQ(get_int(os, l, SOL_SOCKET, SO_ACCEPTCONN), 1);
	CHECK_EQ(set_int(os, l, IPPROTO_TCP, TCP_NODELAY, 1), 0);
	CHECK_EQ(set_int(os, l, SOL_SOCKET, SO_RCVBUF, 4096), 0);
	CHECK_EQ(set_int(os, l, SOL_SOCKET, SO_RCVBUF, 8192), 0);
	rl_os_submit(os, &acc.op);
	CHECK_EQ(do_connect(os, client, 80), 0);
	CHECK_EQ(get_int(os, acc.fds[0], IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_EQ(get_int(os, acc.fds[0], SOL_SOCKET, SO_RCVBUF), 8192);
	CHECK_EQ(get_int(os, client, SOL_SOCKET, SO_ERROR), 0);
	CHECK_EQ(set_int(os, 5, SOL_SOCKET, SO_RCVBUF, 1), -EBADF);
	cancel_all(os, &acc);
	close_sim(os);
}

TEST(descriptors_run_out)
{
	struct rl_os *os = open_sim(1, NULL);
	int fd = 0, n = -1;

	while (fd >= 0) {
		fd = tcp(os);
		n++;
	}
	CHECK_EQ(fd, -EMFILE);
	CHECK_EQ(n, 65536);
	os->ops->close_now(os, (1 << 20) + 77);
	CHECK_EQ(tcp(os), (1 << 20) + 77);
	close_sim(os);
}

/* Connections. */

TEST(connect_and_accept_agree_on_names)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a, b;
	socklen_t len = sizeof a;
	int client, server;

	pair(os, &client, &server, 0);
	os->ops->getsockname(os, client, (struct sockaddr *)&a, &len);
	os->ops->getpeername(os, server, (struct sockaddr *)&b, &len);
	CHECK(memcmp(&a, &b, sizeof a) == 0);
	CHECK_EQ(ntohs(a.sin_port), 40001);
	os->ops->getpeername(os, client, (struct sockaddr *)&a, &len);
	os->ops->getsockname(os, server, (struct sockaddr *)&b, &len);
	CHECK(memcmp(&a, &b, sizeof a) == 0);
	CHECK_EQ(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK_EQ(do_connect(os, client, 1), -EISCONN);
	close_sim(os);
}

TEST(six_connects_to_the_wildcard)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	int l = os->ops->socket(os, AF_INET6, SOCK_STREAM);
	int c = os->ops->socket(os, AF_INET6, SOCK_STREAM);
	struct probe acc = probe_of(os, RL_OP_ACCEPT, l), con = probe_of(os, RL_OP_CONNECT, c);
	socklen_t len = sizeof a;

	CHECK_EQ(os->ops->bind(os, l, (struct sockaddr *)&a, sizeof a), 0);
	CHECK_EQ(os->ops->listen(os, l, 1), 0);
	con.op.addr = (struct sockaddr *)&a;
	con.op.addr_len = sizeof a;
	rl_os_submit(os, &acc.op);
	CHECK_EQ(run_op(&con), 0);
	os->ops->getpeername(os, c, (struct sockaddr *)&a, &len);
	CHECK_EQ(len, sizeof a);
	CHECK(IN6_IS_ADDR_LOOPBACK(&a.sin6_addr));
	CHECK_EQ(do_connect(os, os->ops->socket(os, AF_INET6, SOCK_STREAM), 80), -EINVAL);
	cancel_all(os, &acc);
	close_sim(os);
}

TEST(connect_to_nobody_is_refused)
{
	struct rl_os *os = open_sim(1, NULL);
	int fd = tcp(os), l;

	CHECK_EQ(do_connect(os, fd, 80), -ECONNREFUSED);
	l = listen_on(os, 80, 1);
	CHECK_EQ(do_connect(os, fd, 80), 0); /* the socket can try again */
	os->ops->close_now(os, l);
	CHECK_EQ(do_connect(os, tcp(os), 80), -ECONNREFUSED);
	close_sim(os);
}

TEST(connects_beyond_the_backlog_wait)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(80);
	struct probe con[5], acc = probe_of(os, RL_OP_ACCEPT, listen_on(os, 80, 2));

	CHECK_EQ(connect_five(os, con, &a), 2);
	CHECK_EQ(os->in_flight, 3);
	rl_os_submit(os, &acc.op);
	settle(os);
	CHECK_EQ(acc.fds_len, 5);
	CHECK_EQ(os->in_flight, 1);
	CHECK(acc.flags & RL_DONE_MORE);
	cancel_all(os, &acc);
	CHECK_EQ(acc.res, -ECANCELED);
	CHECK_EQ(acc.flags, 0);
	close_sim(os);
}

TEST(a_listener_that_closes_refuses_and_resets)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(80);
	struct probe con[5];
	int refused = 0, reset = 0, l = listen_on(os, 80, 2);

	CHECK_EQ(connect_five(os, con, &a), 2);
	CHECK_EQ(do_close(os, l), 0);
	for (int i = 0; i < 5; i++) {
		struct probe recv = probe_of(os, RL_OP_RECV, con[i].op.fd);

		refused += con[i].res == -ECONNREFUSED;
		reset += run_op(&recv) == -ECONNRESET;
	}
	CHECK_EQ(refused, 3);
	CHECK_EQ(reset, 2);
	close_sim(os);
}

TEST(shutdown_ends_a_listener)
{
	struct rl_os *os = open_sim(1, NULL);
	int l = listen_on(os, 80, 2);
	struct probe acc = probe_of(os, RL_OP_ACCEPT, l);

	rl_os_submit(os, &acc.op);
	CHECK_EQ(do_shutdown(os, l, SHUT_RDWR), 0);
	CHECK_EQ(acc.res, -EINVAL);
	CHECK_EQ(acc.flags, 0);
	CHECK_EQ(do_connect(os, tcp(os), 80), -ECONNREFUSED);
	close_sim(os);
}

/* Ends of connections. */

TEST(shutdown_is_the_end_of_one_direction)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	struct probe recv, back;

	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	back = probe_of(os, RL_OP_RECV, client);
	do_send(os, client, "ping", 4);
	CHECK_EQ(do_shutdown(os, client, SHUT_WR), 0);
	CHECK_EQ(do_shutdown(os, client, 9), -EINVAL);
	CHECK_EQ(run_op(&recv), 0);
	CHECK_EQ(recv.flags, 0);
	CHECK_EQ(recv.len, 4);
	CHECK_EQ(do_send(os, client, "x", 1), -EPIPE);
	CHECK_EQ(do_send(os, server, "pong", 4), 4);
	rl_os_submit(os, &back.op);
	settle(os);
	CHECK_EQ(back.len, 4);
	CHECK_EQ(do_close(os, server), 0);
	CHECK_EQ(back.res, 0);
	free(recv.data);
	free(back.data);
	close_sim(os);
}

TEST(a_shutdown_ends_an_armed_receive)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	struct probe recv, own;

	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	own = probe_of(os, RL_OP_RECV, client);
	rl_os_submit(os, &recv.op);
	rl_os_submit(os, &own.op);
	do_shutdown(os, client, SHUT_RDWR);
	CHECK_EQ(recv.calls, 1);
	CHECK_EQ(recv.res, 0);
	CHECK_EQ(own.calls, 1);
	CHECK_EQ(own.res, 0);
	close_sim(os);
}

TEST(close_sends_what_is_queued_and_a_fin)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	do_send(os, client, "bye", 3);
	do_close(os, client);
	recv = probe_of(os, RL_OP_RECV, server);
	CHECK_EQ(run_op(&recv), 0);
	CHECK_EQ(recv.len, 3);
	free(recv.data);
	close_sim(os);
}

TEST(close_with_unread_bytes_resets)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	do_send(os, client, "unread", 6);
	do_send(os, server, "seen", 4);
	recv = probe_of(os, RL_OP_RECV, client);
	do_close(os, server);
	CHECK_EQ(run_op(&recv), -ECONNRESET);
	CHECK_EQ(recv.flags, 0);
	CHECK_EQ(recv.len, 4); /* what came before the reset stays readable */
	CHECK_EQ(do_send(os, client, "x", 1), -EPIPE);
	CHECK_EQ(run_op(&recv), 0);
	free(recv.data);
	close_sim(os);
}

TEST(linger_zero_resets)
{
	struct rl_os *os = open_sim(1, NULL);
	struct linger abort = {1, 0}, wait = {1, 5};
	int client, server;
	struct probe recv;

	for (int i = 0; i < 2; i++) {
		pair(os, &client, &server, 0);
		os->ops->setsockopt(os, server, SOL_SOCKET, SO_LINGER, i ? &wait : &abort, sizeof abort);
		recv = probe_of(os, RL_OP_RECV, client);
		do_close(os, server);
		CHECK_EQ(run_op(&recv), i ? 0 : -ECONNRESET);
		CHECK_EQ(get_int(os, client, SOL_SOCKET, SO_ERROR), 0);
	}
	pair(os, &client, &server, 0);
	os->ops->setsockopt(os, server, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
	do_close(os, server);
	CHECK_EQ(get_int(os, client, SOL_SOCKET, SO_ERROR), ECONNRESET);
	CHECK_EQ(get_int(os, client, SOL_SOCKET, SO_ERROR), 0);
	close_sim(os);
}

TEST(sending_to_a_closed_peer_works_once)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	do_close(os, server);
	recv = probe_of(os, RL_OP_RECV, client);
	CHECK_EQ(do_send(os, client, "lost", 4), 4);
	CHECK_EQ(do_send(os, client, "x", 1), -EPIPE);
	CHECK_EQ(run_op(&recv), 0); /* the FIN came first */
	close_sim(os);
}

int main(void)
{
	RUN(descriptors_are_reused_lowest_first);
	RUN(a_closing_descriptor_is_gone_but_not_free);
	RUN(bad_descriptors_and_arguments);
	RUN(ports_are_chosen_shared_and_refused);
	RUN(reuseport_spreads_connections);
	RUN(a_port_with_connections_needs_reuseaddr);
	RUN(ports_come_back);
	RUN(options_are_remembered_and_inherited);
	RUN(descriptors_run_out);
	RUN(connect_and_accept_agree_on_names);
	RUN(six_connects_to_the_wildcard);
	RUN(connect_to_nobody_is_refused);
	RUN(connects_beyond_the_backlog_wait);
	RUN(a_listener_that_closes_refuses_and_resets);
	RUN(shutdown_ends_a_listener);
	RUN(shutdown_is_the_end_of_one_direction);
	RUN(a_shutdown_ends_an_armed_receive);
	RUN(close_sends_what_is_queued_and_a_fin);
	RUN(close_with_unread_bytes_resets);
	RUN(linger_zero_resets);
	RUN(sending_to_a_closed_peer_works_once);
	return FINISH();
}
