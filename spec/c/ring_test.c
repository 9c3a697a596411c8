/* SPDX-License-Identifier: MIT */
/*
 * Queues that are full, a kernel that takes nothing, closing and forking: nothing is lost, nothing
 * is touched afterwards. The kernel's refusals are injected by our own io_uring_enter2.
 */
#define _GNU_SOURCE
#include "uring_check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

/* While not 0, every entry into the kernel fails with it. */
static int enter_fails;

int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
	unsigned int flags, sigset_t *sig, size_t sz);

/* Takes the place of liburing's. */
int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
	unsigned int flags, sigset_t *sig, size_t sz)
{
	if (enter_fails)
		return enter_fails;
	long ret = syscall(SYS_io_uring_enter, fd, to_submit, min_complete, flags, sig, sz);
	return ret < 0 ? -errno : (int)ret;
}

static int nops_done;

static void nop_done(struct rl_op *op, int res, uint32_t flags)
{
	CHECK(!op->in_flight);
	CHECK_EQ(res, 0);
	CHECK_EQ(flags, 0);
	nops_done++;
}

static struct rl_op *submit_nops(int count)
{
	struct rl_op *ops = calloc((size_t)count, sizeof(*ops));
	nops_done = 0;
	for (int i = 0; i < count; i++) {
		ops[i].kind = RL_OP_NOP;
		ops[i].done = nop_done;
		CHECK_EQ(rl_os_submit(os, &ops[i]), 0);
	}
	return ops;
}

TEST(ten_thousand_ops_through_a_queue_of_four)
{
	START(.entries = 4);
	struct rl_op *ops = submit_nops(10000);
	CHECK_EQ(os->in_flight, 10000);
	CHECK_EQ(nops_done, 0);
	for (int i = 0; i < 10000 && rl_os_ready(os); i++)
		rl_os_poll(os, 0);
	CHECK_EQ(nops_done, 10000);
	CHECK(os->stats.overflows > 0);
	CHECK_EQ(os->stats.completed, 10000);
	CHECK_EQ(rl_os_poll(os, 0), 0);
	CHECK(!rl_os_ready(os));
	finish();
	free(ops);
}

/* Multishot receives end when the completion queue is full; every byte must come all the same. */
TEST(an_overflow_under_multishot_receives_loses_nothing)
{
	enum { PAIRS = 20, ROUNDS = 20, NOPS = 200 };
	START(.entries = 4, .buf_count = 64, .buf_size = 16);
	struct probe_op *p[PAIRS];
	int fds[PAIRS][2], ends = 0;
	for (int i = 0; i < PAIRS; i++) {
		sockets(fds[i]);
		p[i] = probe_new(RL_OP_RECV, fds[i][0]);
		submit(p[i]);
	}
	rl_os_poll(os, 0);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		struct rl_op *ops = submit_nops(NOPS); /* they fill the queue */
		for (int i = 0; i < PAIRS; i++)
			CHECK_EQ(write(fds[i][1], "abcdefgh", 8), 8);
		poll_until(&nops_done, NOPS);
		free(ops);
		for (int i = 0; i < PAIRS; i++) {
			int64_t limit = rl_os_now(os) + 20 * SECOND;
			while (p[i]->len < round * 8 && rl_os_now(os) < limit) {
				ends += !p[i]->op.in_flight;
				if (!p[i]->op.in_flight)
					submit(p[i]);
				rl_os_poll(os, 0);
			}
			CHECK_EQ(p[i]->len, round * 8);
		}
	}
	for (int i = 0; i < PAIRS; i++) {
		stop(p[i]);
		close_both(fds[i]);
		free(p[i]);
	}
	CHECK(os->stats.overflows > 0);
	CHECK(ends > 0);
	finish();
}

TEST(a_kernel_that_takes_nothing_delays_and_loses_nothing)
{
	START(.entries = 4);
	int fds[2];
	sockets(fds);
	struct probe_op *recv = probe_new(RL_OP_RECV, fds[0]), *late = probe_new(RL_OP_RECV, fds[1]);
	submit(recv);
	rl_os_poll(os, 0);
	enter_fails = -EBUSY;
	struct rl_op *ops = submit_nops(100);
	rl_os_cancel(os, &recv->op); /* the kernel has it; there is no entry for the cancel */
	rl_os_cancel(os, &recv->op);
	submit(late);
	rl_os_cancel(os, &late->op); /* the kernel will never see it */
	rl_os_cancel(os, &late->op);
	CHECK_EQ(os->in_flight, 102);
	CHECK(rl_os_ready(os));
	CHECK_EQ(late->calls, 0);
	CHECK_EQ(rl_os_poll(os, -1), 1);
	CHECK_EQ(late->last, 1);
	CHECK_EQ(late->res, -ECANCELED);
	CHECK_EQ(rl_os_poll(os, -1), 0);
	enter_fails = -EAGAIN;
	CHECK_EQ(rl_os_poll(os, -1), 0);
	CHECK_EQ(nops_done + recv->calls, 0);
	enter_fails = 0;
	poll_until(&nops_done, 100);
	poll_until(&recv->last, 1);
	CHECK_EQ(recv->res, -ECANCELED);
	CHECK_EQ(recv->calls, 1);
	close_both(fds);
	finish();
	free(recv), free(late), free(ops);
}

/* Closing. */

TEST(close_cancels_what_is_in_flight_and_calls_nobody)
{
	START(0);
	int fds[2];
	char byte;
	sockets(fds);
	struct sockaddr_in addr = loopback();
	/* Of this process alone: its port, once it is given up, is nobody else's. */
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK | ((unsigned)getpid() & 0xffff) << 8);
	int server = listener(&addr);
	struct probe_op *recv = probe_new(RL_OP_RECV, fds[0]), *poll_op = probe_new(RL_OP_POLL, fds[1]);
	struct probe_op *accept = probe_new(RL_OP_ACCEPT, server), *nop = probe_new(RL_OP_NOP, -1);
	poll_op->op.events = POLLIN;
	submit(recv);
	submit(poll_op);
	rl_os_poll(os, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	submit(accept); /* it will be accepted, and delivered to nobody */
	submit(nop);
	struct probe_op *close_op = probe_new(RL_OP_CLOSE, dup(fds[0]));
	submit(close_op); /* still queued: it must close all the same */
	CHECK_EQ(os->in_flight, 5);
	CHECK_EQ(os->ops->close(os), 0);
	close(fds[0]), close(fds[1]), close(server);
	CHECK_EQ(recv->calls + poll_op->calls + accept->calls + nop->calls + close_op->calls, 0);
	CHECK(!recv->op.in_flight && !accept->op.in_flight && !close_op->op.in_flight);
	CHECK(fcntl(close_op->op.fd, F_GETFD) < 0 && errno == EBADF);
	struct timeval limit = { .tv_sec = 20 };
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ssize_t n = read(client, &byte, 1);
	CHECK(n == 0 || (n < 0 && errno == ECONNRESET));
	close(client);
	START(0);
	server = listener(&addr); /* the port is free at once */
	os->ops->close_now(os, server);
	finish();
	free(recv), free(poll_op), free(accept), free(nop), free(close_op);
}

TEST(close_gives_the_kernel_what_it_had_not_taken)
{
	START(.entries = 4);
	struct probe_op *close_op = probe_new(RL_OP_CLOSE, dup(0));
	enter_fails = -EBUSY;
	struct rl_op *ops = submit_nops(20), *refused = &ops[19];
	submit(close_op);
	rl_os_cancel(os, refused);
	enter_fails = 0;
	CHECK_EQ(os->ops->close(os), 0);
	CHECK(fcntl(close_op->op.fd, F_GETFD) < 0);
	CHECK_EQ(nops_done + close_op->calls, 0);
	CHECK(!ops[0].in_flight && !refused->in_flight);
	free(ops), free(close_op);
}

TEST(close_keeps_the_memory_of_a_ring_that_does_not_drain)
{
	static struct rl_os *kept; /* on purpose for the life of the process */
	START(0);
	struct probe_op *p = probe_new(RL_OP_NOP, -1);
	submit(p);
	enter_fails = -EBUSY;
	CHECK_EQ(os->ops->close(os), -EBUSY); /* and not never */
	enter_fails = 0;
	CHECK_EQ(os->in_flight, 1);
	kept = os;
	CHECK_EQ(rl_os_poll(kept, -1), 1); /* the kernel may still write, and may */
	CHECK_EQ(p->last, 1);
	finish();
	free(p);
}

TEST(a_forked_child_is_refused)
{
	START(0);
	struct probe_op *p = probe_new(RL_OP_NOP, -1), *q = probe_new(RL_OP_NOP, -1);
	submit(p);
	pid_t pid = fork();
	if (pid == 0) {
		bool ok = rl_os_poll(os, -1) == -EPERM && rl_os_submit(os, &q->op) == -EPERM
			&& !rl_os_ready(os) && os->ops->offload(os, NULL) == -EPERM;
		rl_os_cancel(os, &p->op);
		os->ops->wake(os);
		_exit(ok && os->ops->close(os) == 0 ? 0 : 1);
	}
	int status = -1;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(rl_os_poll(os, -1), 1);
	CHECK_EQ(p->last, 1);
	finish();
	free(p), free(q);
}

int main(void)
{
	RUN(ten_thousand_ops_through_a_queue_of_four);
	RUN(an_overflow_under_multishot_receives_loses_nothing);
	RUN(a_kernel_that_takes_nothing_delays_and_loses_nothing);
	RUN(close_cancels_what_is_in_flight_and_calls_nobody);
	RUN(close_gives_the_kernel_what_it_had_not_taken);
	RUN(close_keeps_the_memory_of_a_ring_that_does_not_drain);
	RUN(a_forked_child_is_refused);
	return FINISH();
}
