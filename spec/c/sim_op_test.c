/* SPDX-License-Identifier: MIT */
/*
 * sim_op: what each kind of op is told, and when: multishot, waiting for room, cancel, POLL.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "sim_probe.h"

#include <poll.h>

TEST(bytes_cross_in_order_one_completion_a_buffer)
{
	struct rl_os *os = open_sim(1, NULL);
	char *data = pattern(10000, 1);
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	CHECK_EQ(do_send(os, client, data, 10000), 10000);
	rl_os_submit(os, &recv.op);
	settle(os);
	CHECK_EQ(recv.calls, 3);
	CHECK_EQ(recv.len, 10000);
	CHECK_EQ(recv.res, 10000 - 2 * 4096);
	CHECK_EQ(recv.flags & 0xffff, RL_DONE_MORE | RL_DONE_BUF);
	CHECK(memcmp(recv.data, data, 10000) == 0);
	CHECK_EQ(do_send(os, client, data, 0), 0);
	CHECK_EQ(do_send(os, client, data, 1), 1);
	CHECK_EQ(recv.len, 10001);
	CHECK_EQ(os->buf_free, os->buf_count);
	cancel_all(os, &recv);
	free(recv.data);
	free(data);
	close_sim(os);
}

TEST(a_send_waits_for_room_until_all_is_sent)
{
	struct rl_os *os = open_sim(1, NULL);
	const size_t len = 200000;
	char *data = pattern(len, 2);
	struct probe send, recv;
	int client, server;

	pair(os, &client, &server, 0);
	send = probe_of(os, RL_OP_SEND, client);
	recv = probe_of(os, RL_OP_RECV, server);
	send.op.data = data;
	send.op.len = (uint32_t)len;
	rl_os_submit(os, &send.op);
	settle(os);
	CHECK_EQ(send.calls, 0);
	rl_os_submit(os, &recv.op);
	settle(os);
	CHECK_EQ(send.calls, 1);
	CHECK_EQ(send.res, len);
	CHECK_EQ(recv.len, len);
	CHECK(memcmp(recv.data, data, len) == 0);
	cancel_all(os, &recv);
	free(recv.data);
	free(data);
	close_sim(os);
}

TEST(the_smallest_buffer_still_moves_bytes)
{
	struct rl_os *os = open_sim(1, NULL);
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	set_int(os, client, SOL_SOCKET, SO_SNDBUF, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	rl_os_submit(os, &recv.op);
	CHECK_EQ(do_send(os, client, "abc", 3), 3);
	CHECK_EQ(recv.calls, 3);
	CHECK_EQ(recv.len, 3);
	cancel_all(os, &recv);
	free(recv.data);
	close_sim(os);
}

TEST(a_cancelled_send_reports_what_left)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		char *data = pattern(3000, 3);
		struct probe send;
		int client, server;

		pair(os, &client, &server, 1000);
		send = probe_of(os, RL_OP_SEND, client);
		send.op.data = data;
		send.op.len = 3000;
		rl_os_submit(os, &send.op);
		settle(os);
		CHECK_EQ(send.calls, 0);
		rl_os_cancel(os, &send.op);
		rl_os_cancel(os, &send.op);
		CHECK_EQ(send.calls, 0); /* never from cancel itself */
		settle(os);
		CHECK_EQ(send.calls, 1);
		CHECK_EQ(send.res, 1000);
		rl_os_submit(os, &send.op);
		settle(os);
		cancel_all(os, &send);
		CHECK_EQ(send.res, -ECANCELED);
		free(data);
		close_sim(os);
	}
}

TEST(a_send_that_ends_lets_the_next_go)
{
	struct rl_os *os = open_sim(1, NULL);
	struct probe a, b;
	int client, server;

	pair(os, &client, &server, 0);
	a = probe_of(os, RL_OP_SEND, client);
	a.op.data = "ab";
	a.op.len = 2;
	b = a;
	rl_os_submit(os, &a.op);
	rl_os_submit(os, &b.op);
	settle(os);
	CHECK_EQ(a.res, 2);
	CHECK_EQ(b.res, 2);
	close_sim(os);
}

TEST(sends_on_one_socket_keep_their_order)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		char *data = pattern(5000, 4);
		struct probe send[5], recv;
		int client, server;

		pair(os, &client, &server, 700);
		for (int i = 0; i < 5; i++) {
			send[i] = probe_of(os, RL_OP_SEND, client);
			send[i].op.data = data + 1000 * i;
			send[i].op.len = 1000;
			rl_os_submit(os, &send[i].op);
		}
		recv = probe_of(os, RL_OP_RECV, server);
		rl_os_submit(os, &recv.op);
		settle(os);
		CHECK_EQ(recv.len, 5000);
		CHECK(memcmp(recv.data, data, 5000) == 0);
		cancel_all(os, &recv);
		free(recv.data);
		free(data);
		close_sim(os);
	}
}

TEST(a_receive_without_buffers_ends)
{
	struct rl_os_config config = {.buf_count = 2, .buf_size = 100};
	struct rl_os *os = NULL;
	char *data = pattern(500, 5);
	int client, server;
	struct probe recv;

	CHECK_EQ(rl_sim_ops.open(&os, &config), 0);
	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	recv.keep = true;
	do_send(os, client, data, 500);
	CHECK_EQ(run_op(&recv), -ENOBUFS);
	CHECK_EQ(recv.calls, 3);
	CHECK_EQ(recv.flags, 0);
	CHECK_EQ(os->buf_free, 0);
	CHECK_EQ(run_op(&recv), -ENOBUFS);
	CHECK(memcmp(os->ops->buf(os, recv.bids[0]), data, 100) == 0);
	os->ops->buf_put(os, recv.bids[0]);
	CHECK(memcmp(os->ops->buf(os, recv.bids[0]), data, 100) != 0); /* no longer readable */
	os->ops->buf_put(os, recv.bids[1]);
	recv.keep = false;
	rl_os_submit(os, &recv.op);
	settle(os);
	CHECK(recv.op.in_flight);
	CHECK_EQ(recv.len, 500);
	CHECK(memcmp(recv.data, data, 500) == 0);
	CHECK_EQ(os->buf_free, 2);
	cancel_all(os, &recv);
	free(recv.data);
	free(data);
	close_sim(os);
}

TEST(an_idle_receive_armed_without_buffers_ends_at_once)
{
	struct rl_os_config config = {.buf_count = 1};
	struct rl_os *os = NULL;
	int client, server;
	struct probe recv;

	CHECK_EQ(rl_sim_ops.open(&os, &config), 0);
	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	recv.keep = true;
	do_send(os, client, "x", 1);
	rl_os_submit(os, &recv.op);
	settle(os);
	CHECK(recv.op.in_flight); /* armed and idle: nobody notices that no buffer is left */
	cancel_all(os, &recv);
	CHECK_EQ(run_op(&recv), -ENOBUFS);
	free(recv.data);
	close_sim(os);
}

TEST(buffers_are_filled_in_the_order_put_back)
{
	struct rl_os_config config = {.buf_count = 4, .buf_size = 1};
	struct rl_os *os = NULL;
	int client, server;
	struct probe recv;

	CHECK_EQ(rl_sim_ops.open(&os, &config), 0);
	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	recv.keep = true;
	do_send(os, client, "abcdefg", 7);
	CHECK_EQ(run_op(&recv), -ENOBUFS);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(recv.bids[i], i);
	os->ops->buf_put(os, 2);
	os->ops->buf_put(os, 0);
	recv.calls = 0;
	CHECK_EQ(run_op(&recv), -ENOBUFS);
	CHECK_EQ(recv.bids[0], 2);
	CHECK_EQ(recv.bids[1], 0);
	free(recv.data);
	close_sim(os);
}

TEST(shutdown_fails_a_send_that_waits)
{
	struct rl_os *os = open_sim(1, NULL);
	char data[100] = "";
	int client, server;
	struct probe send;

	pair(os, &client, &server, 100);
	do_send(os, client, data, 100);
	send = probe_of(os, RL_OP_SEND, client);
	send.op.data = data;
	send.op.len = 100;
	rl_os_submit(os, &send.op);
	settle(os);
	CHECK_EQ(send.calls, 0);
	do_shutdown(os, client, SHUT_RDWR);
	CHECK_EQ(send.res, -EPIPE);
	close_sim(os);
}

TEST(both_a_reader_and_a_sender_learn_of_a_reset)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		char data[300] = "";
		int client, server;
		struct probe recv, send;

		pair(os, &client, &server, 100);
		recv = probe_of(os, RL_OP_RECV, client);
		send = probe_of(os, RL_OP_SEND, client);
		do_send(os, client, data, 100);
		send.op.data = data;
		send.op.len = 200;
		rl_os_submit(os, &recv.op);
		rl_os_submit(os, &send.op);
		settle(os);
		os->ops->close_now(os, server);
		settle(os);
		CHECK_EQ(recv.res, -ECONNRESET);
		CHECK(send.res == -ECONNRESET || send.res == -EPIPE);
		close_sim(os);
	}
}

TEST(a_send_cut_by_a_reset_reports_what_left_then_the_reset)
{
	struct rl_os *os = open_sim(1, NULL);
	char data[300] = "";
	int client, server;
	struct probe send;

	pair(os, &client, &server, 100);
	send = probe_of(os, RL_OP_SEND, client);
	send.op.data = data;
	send.op.len = 300;
	rl_os_submit(os, &send.op);
	settle(os);
	do_close(os, server);
	CHECK_EQ(send.res, 100);
	CHECK_EQ(do_send(os, client, data, 1), -ECONNRESET);
	CHECK_EQ(do_send(os, client, data, 1), -EPIPE);
	close_sim(os);
}

TEST(closing_under_an_armed_receive_leaks_until_it_is_cancelled)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		struct probe armed, other;
		int client, server;

		pair(os, &client, &server, 0);
		armed = probe_of(os, RL_OP_RECV, server);
		other = probe_of(os, RL_OP_RECV, client);
		rl_os_submit(os, &armed.op);
		rl_os_submit(os, &other.op);
		do_close(os, server);
		CHECK_EQ(armed.calls, 0);
		CHECK_EQ(other.calls, 0);
		CHECK_EQ(os->in_flight, 2);
		tcp(os); /* takes the number of pair's listener */
		CHECK_EQ(tcp(os), server);
		do_send(os, client, "late", 4); /* reaches the op that was not cancelled */
		CHECK_EQ(armed.len, 4);
		cancel_all(os, &armed);
		CHECK_EQ(armed.res, -ECANCELED);
		CHECK_EQ(other.res, 0);
		CHECK_EQ(other.calls, 1);
		free(armed.data);
		close_sim(os);
	}
}

TEST(at_most_one_completion_overtakes_a_cancel)
{
	struct rl_os *os = open_sim(1, "cancel_race=1");
	char *data = pattern(50000, 6);
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	do_send(os, client, data, 50000);
	rl_os_submit(os, &recv.op);
	cancel_all(os, &recv);
	CHECK_EQ(recv.calls, 2);
	CHECK_EQ(recv.len, 4096);
	CHECK_EQ(recv.res, -ECANCELED);
	free(recv.data);
	free(data);
	close_sim(os);
}

TEST(a_cancelled_receive_loses_no_bytes)
{
	int before = 0;

	for (uint64_t seed = 0; seed < 60; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		int client, server;
		struct probe recv, send;

		pair(os, &client, &server, 0);
		recv = probe_of(os, RL_OP_RECV, server);
		rl_os_submit(os, &recv.op);
		send = probe_of(os, RL_OP_SEND, client);
		send.op.data = "data";
		send.op.len = 4;
		rl_os_submit(os, &send.op);
		while (send.calls == 0)
			rl_os_poll(os, -1);
		cancel_all(os, &recv);
		CHECK_EQ(recv.res, -ECANCELED);
		CHECK_EQ(recv.flags, 0);
		before += recv.len == 4;
		CHECK(recv.len == 4 || recv.len == 0);
		if (recv.len == 0) {
			rl_os_submit(os, &recv.op);
			settle(os);
			CHECK_EQ(recv.len, 4);
			cancel_all(os, &recv);
		}
		free(recv.data);
		close_sim(os);
	}
	CHECK(before > 5 && before < 55);
}

TEST(a_cancelled_connect_can_be_repeated)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(80);
	int fd = tcp(os), l = listen_on(os, 80, 1);
	struct probe con = probe_of(os, RL_OP_CONNECT, fd), acc = probe_of(os, RL_OP_ACCEPT, l);

	do_connect(os, tcp(os), 80); /* fills the backlog */
	con.op.addr = (struct sockaddr *)&a;
	con.op.addr_len = sizeof a;
	rl_os_submit(os, &con.op);
	settle(os);
	CHECK_EQ(do_connect(os, fd, 80), -EALREADY);
	cancel_all(os, &con);
	CHECK_EQ(con.res, -ECANCELED);
	rl_os_submit(os, &acc.op);
	settle(os);
	CHECK_EQ(acc.fds_len, 1);
	CHECK_EQ(run_op(&con), 0);
	cancel_all(os, &acc);
	CHECK_EQ(acc.fds_len, 2);
	close_sim(os);
}

/* Poll ops. */

static int poll_now(struct rl_os *os, int fd, unsigned events)
{
	struct probe p = probe_of(os, RL_OP_POLL, fd);

	p.op.events = events;
	rl_os_submit(os, &p.op);
	settle(os);
	if (p.calls == 0) {
		cancel_all(os, &p);
		CHECK_EQ(p.res, -ECANCELED);
		return 0;
	}
	return p.res;
}

TEST(poll_sees_what_a_socket_can_do)
{
	struct rl_os *os = open_sim(1, NULL);
	char data[1000] = "";
	int client, server, l = listen_on(os, 80, 4), fd = tcp(os);
	struct probe armed, recv;

	CHECK_EQ(poll_now(os, l, POLLIN), 0);
	CHECK_EQ(poll_now(os, fd, POLLOUT), POLLOUT | POLLHUP);
	do_connect(os, fd, 80);
	CHECK_EQ(poll_now(os, l, POLLIN), POLLIN);
	pair(os, &client, &server, 1000);
	CHECK_EQ(poll_now(os, server, POLLIN | POLLOUT), POLLOUT);
	armed = probe_of(os, RL_OP_POLL, server);
	armed.op.events = POLLIN;
	rl_os_submit(os, &armed.op);
	settle(os);
	CHECK_EQ(armed.calls, 0);
	do_send(os, client, data, 1000);
	CHECK_EQ(armed.calls, 1);
	CHECK_EQ(armed.res, POLLIN);
	CHECK_EQ(poll_now(os, client, POLLOUT), 0);
	armed = probe_of(os, RL_OP_POLL, client);
	armed.op.events = POLLOUT;
	rl_os_submit(os, &armed.op);
	do_shutdown(os, client, SHUT_WR); /* a shut direction never blocks */
	CHECK_EQ(armed.res, POLLOUT);
	CHECK_EQ(poll_now(os, server, POLLRDHUP), POLLRDHUP);
	recv = probe_of(os, RL_OP_RECV, server);
	CHECK_EQ(run_op(&recv), 0);
	do_shutdown(os, server, SHUT_WR);
	CHECK_EQ(poll_now(os, client, 0), POLLHUP);
	free(recv.data);
	close_sim(os);
}

int main(void)
{
	RUN(bytes_cross_in_order_one_completion_a_buffer);
	RUN(a_send_waits_for_room_until_all_is_sent);
	RUN(the_smallest_buffer_still_moves_bytes);
	RUN(a_cancelled_send_reports_what_left);
	RUN(a_send_that_ends_lets_the_next_go);
	RUN(sends_on_one_socket_keep_their_order);
	RUN(a_receive_without_buffers_ends);
	RUN(an_idle_receive_armed_without_buffers_ends_at_once);
	RUN(buffers_are_filled_in_the_order_put_back);
	RUN(shutdown_fails_a_send_that_waits);
	RUN(both_a_reader_and_a_sender_learn_of_a_reset);
	RUN(a_send_cut_by_a_reset_reports_what_left_then_the_reset);
	RUN(closing_under_an_armed_receive_leaks_until_it_is_cancelled);
	RUN(at_most_one_completion_overtakes_a_cancel);
	RUN(a_cancelled_receive_loses_no_bytes);
	RUN(a_cancelled_connect_can_be_repeated);
	RUN(poll_sees_what_a_socket_can_do);
	return FINISH();
}
