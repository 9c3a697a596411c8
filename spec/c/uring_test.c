/* SPDX-License-Identifier: MIT */
/*
 * The uring backend through the seam, on the real kernel: waiting, sockets, cancelling, helper
 * threads. One last completion for each op; counts that return to zero. Full queues, a kernel that
 * refuses, and closing are in ring_test.c.
 */
#define _GNU_SOURCE
#include "uring_check.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

/* Waiting. */

TEST(a_nop_completes)
{
	START(0);
	struct probe_op *p = probe_new(RL_OP_NOP, -1);
	submit(p);
	CHECK_EQ(os->in_flight, 1);
	CHECK(rl_os_ready(os));
	CHECK_EQ(p->calls, 0);
	CHECK_EQ(rl_os_poll(os, -1), 1);
	CHECK_EQ(p->last, 1);
	CHECK_EQ(p->res, 0);
	finish();
	free(p);
}

TEST(poll_waits_until_its_deadline_and_enters_once)
{
	START(0);
	rl_os_poll(os, 0);
	CHECK(!rl_os_ready(os));
	uint64_t enters = os->stats.enters;
	CHECK_EQ(rl_os_poll(os, 0), 0);
	CHECK_EQ(os->stats.enters, enters);
	int64_t from = rl_os_now(os);
	CHECK_EQ(rl_os_poll(os, from - 1), 0);
	CHECK_EQ(os->stats.enters, enters);
	for (int i = 0; i < 100 && os->stats.enters == enters; i++) { /* it may have passed before */
		from = rl_os_now(os);
		CHECK_EQ(rl_os_poll(os, from + 20 * SECOND / 1000), 0);
		CHECK(rl_os_now(os) >= from + 20 * SECOND / 1000);
	}
	CHECK_EQ(os->stats.enters, enters + 1);
	CHECK(os->ops->time(os) > 1600000000 * SECOND);
	CHECK(os->ops->random(os) != os->ops->random(os));
	finish();
}

TEST(a_poll_op_reports_events_once)
{
	START(0);
	int fds[2];
	sockets(fds);
	struct probe_op *p = probe_new(RL_OP_POLL, fds[0]);
	p->op.events = POLLIN;
	submit(p);
	CHECK_EQ(rl_os_poll(os, 0), 0);
	CHECK(!rl_os_ready(os));
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK(rl_os_ready(os));
	CHECK_EQ(rl_os_poll(os, 0), 1);
	CHECK_EQ(p->res, POLLIN);
	CHECK_EQ(p->last, 1);
	close_both(fds);
	finish();
	free(p);
}

TEST(a_wake_ends_the_current_or_the_next_poll)
{
	START(0);
	rl_os_poll(os, 0);
	for (int i = 0; i < 3; i++) {
		os->ops->wake(os);
		os->ops->wake(os);
		CHECK(rl_os_ready(os));
		CHECK_EQ(rl_os_poll(os, -1), 0);
		CHECK(!rl_os_ready(os));
	}
	finish();
}

static atomic_int pings, pongs, pings_max;

static void *waker(void *arg)
{
	for (int i = 0; i < atomic_load(&pings_max); i++) {
		while (atomic_load(&pongs) < i)
			sched_yield();
		atomic_fetch_add(&pings, 1);
		((struct rl_os *)arg)->ops->wake(arg);
	}
	return NULL;
}

/* The other side of the wake protocol: a wake that is merged with an earlier one is never lost. As
 * many as there is time for; one that is lost is waited for in vain. */
TEST(no_wake_of_another_thread_is_lost)
{
	START(0);
	pthread_t id;
	atomic_store(&pings, 0);
	atomic_store(&pongs, 0);
	atomic_store(&pings_max, 2000);
	CHECK_EQ(pthread_create(&id, NULL, waker, os), 0);
	int64_t enough = rl_os_now(os) + 5 * SECOND;
	while (atomic_load(&pongs) < atomic_load(&pings_max)) {
		int64_t limit = rl_os_now(os) + 20 * SECOND;
		while (atomic_load(&pings) == atomic_load(&pongs) && rl_os_now(os) < limit)
			rl_os_poll(os, limit);
		CHECK(rl_os_now(os) < limit);
		if (rl_os_now(os) > enough)
			atomic_store(&pings_max, atomic_load(&pings));
		atomic_store(&pongs, atomic_load(&pings));
	}
	pthread_join(id, NULL);
	finish();
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST(a_signal_ends_the_wait)
{
	START(0);
	int fds[2];
	sockets(fds);
	struct probe_op *p = probe_new(RL_OP_RECV, fds[0]);
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_RESTART }, old;
	struct itimerval every = { { 0, 5000 }, { 0, 5000 } }, never = { { 0, 0 }, { 0, 0 } };
	rl_os_poll(os, 0);
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &every, NULL);
	CHECK_EQ(rl_os_poll(os, -1), -EINTR);
	submit(p); /* now the kernel takes an entry in the call that is interrupted */
	CHECK_EQ(rl_os_poll(os, -1), -EINTR);
	CHECK_EQ(rl_os_poll(os, rl_os_now(os) + 5 * SECOND), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK_EQ(p->calls, 0);
	rl_os_cancel(os, &p->op);
	poll_until(&p->last, 1);
	close_both(fds);
	finish();
	free(p);
}

/* Sockets. */

TEST(accept_connect_send_receive_shutdown_close)
{
	START(0);
	struct sockaddr_in addr = loopback(), peer;
	socklen_t len = sizeof(peer);
	int server = listener(&addr);
	int client = os->ops->socket(os, AF_INET, SOCK_STREAM);
	struct probe_op *accept = probe_new(RL_OP_ACCEPT, server);
	struct probe_op *connect = probe_new(RL_OP_CONNECT, client);
	connect->op.addr = (struct sockaddr *)&addr;
	connect->op.addr_len = sizeof(addr);
	submit(accept);
	submit(connect);
	poll_until(&connect->last, 1);
	CHECK_EQ(connect->res, 0);
	poll_until(&accept->calls, 1);
	CHECK_EQ(accept->last, 0);
	CHECK(accept->fd_new >= 0);
	CHECK_EQ(os->ops->getpeername(os, accept->fd_new, (struct sockaddr *)&peer, &len), 0);
	CHECK_EQ(os->in_flight, 1);

	struct probe_op *recv = probe_new(RL_OP_RECV, accept->fd_new);
	struct probe_op *send = probe_new(RL_OP_SEND, client);
	send->op.data = "hello";
	send->op.len = 5;
	submit(recv);
	for (int i = 1; i <= 3; i++) {
		submit(send);
		poll_until(&send->last, i);
		CHECK_EQ(send->res, 5);
		poll_until(&recv->calls, i);
	}
	CHECK_EQ(recv->len, 15);
	CHECK(memcmp(recv->bytes, "hellohellohello", 15) == 0);
	CHECK_EQ(recv->last, 0);

	struct probe_op *shut = probe_new(RL_OP_SHUTDOWN, client);
	shut->op.how = SHUT_WR;
	submit(shut);
	poll_until(&shut->last, 1);
	poll_until(&recv->last, 1);
	CHECK_EQ(recv->res, 0);
	CHECK_EQ(shut->res, 0);

	struct probe_op *close_op = probe_new(RL_OP_CLOSE, client);
	submit(close_op);
	poll_until(&close_op->last, 1);
	CHECK_EQ(close_op->res, 0);
	rl_os_cancel(os, &accept->op);
	poll_until(&accept->last, 1);
	CHECK_EQ(accept->res, -ECANCELED);
	os->ops->close_now(os, accept->fd_new);
	os->ops->close_now(os, server);
	finish();
	free(accept), free(connect), free(recv), free(send), free(shut), free(close_op);
}

TEST(errors_are_results)
{
	START(0);
	int fds[2];
	sockets(fds);
	struct sockaddr_in addr = loopback();
	socklen_t len = sizeof(addr);
	int client = os->ops->socket(os, AF_INET, SOCK_STREAM);
	int deaf = os->ops->socket(os, AF_INET, SOCK_STREAM); /* has the port, and does not listen */
	CHECK_EQ(os->ops->bind(os, deaf, (struct sockaddr *)&addr, len), 0);
	CHECK_EQ(os->ops->getsockname(os, deaf, (struct sockaddr *)&addr, &len), 0);
	struct probe_op *connect = probe_new(RL_OP_CONNECT, client);
	connect->op.addr = (struct sockaddr *)&addr;
	connect->op.addr_len = sizeof(addr);
	struct probe_op *recv = probe_new(RL_OP_RECV, 999);
	struct probe_op *send = probe_new(RL_OP_SEND, fds[0]);
	send->op.data = "x";
	send->op.len = 1;
	os->ops->close_now(os, fds[1]);
	submit(connect);
	submit(recv);
	submit(send);
	poll_until(&connect->last, 1);
	CHECK_EQ(connect->res, -ECONNREFUSED);
	poll_until(&recv->last, 1);
	poll_until(&send->last, 1);
	CHECK_EQ(recv->res, -EBADF);
	CHECK_EQ(send->res, -EPIPE); /* and no SIGPIPE */
	CHECK_EQ(rl_os_submit(os, &(struct rl_op){ .kind = RL_OP_KINDS }), -EINVAL);
	os->ops->close_now(os, fds[0]);
	os->ops->close_now(os, client);
	os->ops->close_now(os, deaf);
	finish();
	free(connect), free(recv), free(send);
}

TEST(a_long_send_is_whole_though_the_peer_is_slow)
{
	START(0);
	enum { LEN = 1 << 20 };
	int fds[2];
	sockets(fds);
	char *data = calloc(1, LEN), *got = malloc(LEN);
	struct probe_op *p = probe_new(RL_OP_SEND, fds[0]);
	p->op.data = data;
	p->op.len = LEN;
	submit(p);
	rl_os_poll(os, 0);
	CHECK_EQ(p->calls, 0);
	size_t len = 0;
	int64_t limit = rl_os_now(os) + 20 * SECOND;
	while (len < LEN && rl_os_now(os) < limit) {
		ssize_t n = read(fds[1], got, LEN);
		len += n > 0 ? (size_t)n : 0;
		rl_os_poll(os, 0);
	}
	CHECK_EQ(len, LEN);
	poll_until(&p->last, 1);
	CHECK_EQ(p->res, LEN);
	close_both(fds);
	finish();
	free(p), free(data), free(got);
}

/* Cancelling. */

TEST(cancel_before_and_after_the_kernel_saw_it)
{
	START(0);
	int fds[2];
	sockets(fds);
	struct probe_op *p = probe_new(RL_OP_RECV, fds[0]);
	rl_os_cancel(os, &p->op); /* not in flight: nothing happens */
	submit(p);
	rl_os_cancel(os, &p->op); /* the entry is still queued */
	poll_until(&p->last, 1);
	CHECK_EQ(p->res, -ECANCELED);
	submit(p);
	rl_os_poll(os, 0);
	CHECK_EQ(p->calls, 1);
	rl_os_cancel(os, &p->op);
	rl_os_cancel(os, &p->op); /* twice is once */
	poll_until(&p->last, 2);
	CHECK_EQ(p->res, -ECANCELED);
	CHECK_EQ(p->calls, 2);
	close_both(fds);
	finish();
	free(p);
}

/* The op is complete, its completion not delivered: the cancel must find nothing, neither this op
 * nor the next one with the same address. */
TEST(a_cancel_that_comes_too_late_hits_nobody)
{
	START(0);
	int fds[2];
	sockets(fds);
	struct probe_op *p = probe_new(RL_OP_POLL, fds[0]);
	p->op.events = POLLIN;
	submit(p);
	rl_os_poll(os, 0);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	rl_os_cancel(os, &p->op);
	poll_until(&p->last, 1);
	CHECK(p->res == POLLIN || p->res == -ECANCELED);

	char byte;
	CHECK_EQ(read(fds[0], &byte, 1), 1);
	p->res = 0;
	submit(p); /* same address, perhaps right behind that cancel */
	rl_os_poll(os, 0);
	CHECK(p->op.in_flight);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	poll_until(&p->last, 2);
	CHECK_EQ(p->res, POLLIN);
	close_both(fds);
	finish();
	free(p);
}

static struct probe_op *victim;
static int chain_left;

static void resubmit(struct probe_op *p)
{
	if (chain_left == 0)
		return;
	if (--chain_left == 0)
		rl_os_cancel(os, &victim->op);
	else
		submit(p);
}

TEST(a_callback_may_submit_itself_and_cancel_others)
{
	START(0);
	int fds[2];
	sockets(fds);
	struct probe_op *p = probe_new(RL_OP_NOP, -1);
	victim = probe_new(RL_OP_RECV, fds[0]);
	chain_left = 100;
	p->then = resubmit;
	submit(victim);
	submit(p);
	poll_until(&victim->last, 1);
	CHECK_EQ(p->last, 100);
	CHECK_EQ(victim->res, -ECANCELED);
	close_both(fds);
	finish();
	free(p), free(victim);
}

TEST(internal_ops_do_not_count_as_in_flight)
{
	START(0);
	struct probe_op *p = probe_new(RL_OP_NOP, -1);
	p->op.internal = 1;
	submit(p);
	CHECK_EQ(os->in_flight, 0);
	poll_until(&p->last, 1);
	finish();
	free(p);
}

/* Full queues. */

/* Helper threads. */

struct job {
	struct rl_work work;
	pthread_t ran_on;
	atomic_int *gate; /* waits for 2; 0 becomes 1 when it runs */
	int done;
};

static int jobs_done;

static void job_fn(struct rl_work *w)
{
	struct job *j = rl_container(w, struct job, work);
	j->ran_on = pthread_self();
	if (j->gate)
		atomic_store(j->gate, 1);
	while (j->gate && atomic_load(j->gate) < 2)
		usleep(1000);
}

static void job_done(struct rl_work *w)
{
	rl_container(w, struct job, work)->done++;
	jobs_done++;
}

TEST(offloaded_work_runs_elsewhere_and_is_done_here)
{
	enum { JOBS = 200 };
	START(0);
	struct job jobs[JOBS];
	memset(jobs, 0, sizeof(jobs));
	jobs_done = 0;
	for (int i = 0; i < JOBS; i++) {
		jobs[i].work.fn = job_fn;
		jobs[i].work.done = job_done;
		CHECK_EQ(os->ops->offload(os, &jobs[i].work), 0);
	}
	CHECK_EQ(os->works + (unsigned)jobs_done, JOBS);
	CHECK_EQ(jobs_done, 0);
	poll_until(&jobs_done, JOBS);
	for (int i = 0; i < JOBS; i++) {
		CHECK_EQ(jobs[i].done, 1);
		CHECK(!pthread_equal(jobs[i].ran_on, pthread_self()));
	}
	finish();
}

struct sender {
	struct rl_os *os;
	struct job jobs[500];
};

static void *sender_main(void *arg)
{
	struct sender *s = arg;
	for (int i = 0; i < 500; i++) {
		s->jobs[i].work.done = job_done;
		s->os->ops->arrive(s->os, &s->jobs[i].work);
		if (i % 50 == 0)
			usleep(200); /* most likely the owner sleeps by now */
	}
	return NULL;
}

TEST(what_other_threads_have_done_comes_home)
{
	static struct sender senders[3];
	pthread_t ids[3];
	START(0);
	memset(senders, 0, sizeof(senders));
	jobs_done = 0;
	for (int i = 0; i < 3; i++) {
		senders[i].os = os;
		CHECK_EQ(pthread_create(&ids[i], NULL, sender_main, &senders[i]), 0);
	}
	poll_until(&jobs_done, 1500);
	for (int i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	for (int i = 0; i < 1500; i++)
		CHECK_EQ(senders[i / 500].jobs[i % 500].done, 1);
	finish();
}

static int order[3], order_len;

static void arrival_done(struct rl_work *w)
{
	order[order_len++] = rl_container(w, struct job, work)->done;
}

TEST(what_comes_home_does_so_in_order_and_without_the_kernel_while_the_owner_is_up)
{
	struct job jobs[3];
	START(0);
	rl_os_poll(os, 0);
	uint64_t enters = os->stats.enters;
	order_len = 0;
	for (int i = 0; i < 3; i++) {
		jobs[i] = (struct job){ .work = { .done = arrival_done }, .done = i };
		CHECK(os->ops->ready(os) == (i > 0));
		os->ops->arrive(os, &jobs[i].work);
	}
	CHECK_EQ(rl_os_poll(os, 0), 3);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(order[i], i);
	CHECK_EQ(os->stats.enters, enters);
	CHECK(!os->ops->ready(os));
	finish();
}

TEST(close_does_not_wait_for_ever_for_stuck_work)
{
	static struct job stuck; /* its memory must be kept */
	static atomic_int gate;
	START(0);
	stuck = (struct job){ .work = { .fn = job_fn, .done = job_done }, .gate = &gate };
	jobs_done = 0;
	CHECK_EQ(os->ops->offload(os, &stuck.work), 0);
	while (atomic_load(&gate) == 0)
		sched_yield();
	CHECK_EQ(os->ops->close(os), -EBUSY); /* and not never */
	atomic_store(&gate, 2);
	CHECK_EQ(jobs_done, 0);
}

int main(void)
{
	RUN(a_nop_completes);
	RUN(poll_waits_until_its_deadline_and_enters_once);
	RUN(a_poll_op_reports_events_once);
	RUN(a_wake_ends_the_current_or_the_next_poll);
	RUN(no_wake_of_another_thread_is_lost);
	RUN(a_signal_ends_the_wait);
	RUN(accept_connect_send_receive_shutdown_close);
	RUN(errors_are_results);
	RUN(a_long_send_is_whole_though_the_peer_is_slow);
	RUN(cancel_before_and_after_the_kernel_saw_it);
	RUN(a_cancel_that_comes_too_late_hits_nobody);
	RUN(a_callback_may_submit_itself_and_cancel_others);
	RUN(internal_ops_do_not_count_as_in_flight);
	RUN(offloaded_work_runs_elsewhere_and_is_done_here);
	RUN(what_other_threads_have_done_comes_home);
	RUN(what_comes_home_does_so_in_order_and_without_the_kernel_while_the_owner_is_up);
	RUN(close_does_not_wait_for_ever_for_stuck_work);
	return FINISH();
}
