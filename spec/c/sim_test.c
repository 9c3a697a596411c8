/* SPDX-License-Identifier: MIT */
/*
 * sim: the virtual clock, seeded order, helper work, provided buffers, cancel and teardown. Tests
 * that rest on a seeded choice run many seeds and ask for both outcomes, or for the same in each.
 */
#include "sim_probe.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The clock. */

TEST(clock_moves_only_towards_a_deadline)
{
	struct rl_os *os = open_sim(1, NULL);
	const int64_t epoch = 1577836800LL * 1000000000;

	CHECK_EQ(rl_os_now(os), START_NS);
	CHECK_EQ(os->ops->time(os), epoch);
	CHECK_EQ(rl_os_poll(os, 0), 0);
	CHECK_EQ(rl_os_poll(os, -1), 0);
	CHECK_EQ(rl_os_poll(os, START_NS - 5), 0);
	CHECK_EQ(rl_os_now(os), START_NS);
	CHECK_EQ(rl_os_poll(os, START_NS + 7000000000), 0);
	CHECK_EQ(rl_os_now(os), START_NS + 7000000000);
	CHECK_EQ(os->ops->time(os), epoch + 7000000000);
	CHECK_EQ(os->stats.enters, 4);
	close_sim(os);
}

TEST(poll_jumps_to_the_completion_not_the_deadline)
{
	int later = 0;

	for (uint64_t seed = 0; seed < 50; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		struct probe p = probe_of(os, RL_OP_NOP, -1);

		CHECK_EQ(rl_os_submit(os, &p.op), 0);
		CHECK_EQ(p.calls, 0);
		CHECK(p.op.in_flight);
		CHECK_EQ(os->in_flight, 1);
		if (!rl_os_ready(os)) {
			CHECK_EQ(rl_os_poll(os, 0), 0);
			CHECK_EQ(p.calls, 0);
			later++;
		}
		CHECK_EQ(rl_os_poll(os, START_NS + 1000000000), 1);
		CHECK_EQ(p.calls, 1);
		CHECK_EQ(p.res, 0);
		CHECK_EQ(p.flags, 0);
		CHECK(!p.op.in_flight);
		CHECK(rl_os_now(os) <= START_NS + 200000);
		CHECK(!rl_os_ready(os));
		CHECK_EQ(os->stats.submitted, 1);
		CHECK_EQ(os->stats.completed, 1);
		close_sim(os);
	}
	CHECK(later > 5 && later < 45);
}

TEST(internal_ops_are_not_in_flight)
{
	struct rl_os *os = open_sim(1, NULL);
	struct probe p = probe_of(os, RL_OP_NOP, -1);

	p.op.internal = 1;
	rl_os_submit(os, &p.op);
	CHECK_EQ(os->in_flight, 0);
	settle(os);
	CHECK_EQ(p.calls, 1);
	close_sim(os);
}

TEST(submit_refuses_an_unknown_kind)
{
	struct rl_os *os = open_sim(1, NULL);
	struct probe p = probe_of(os, RL_OP_KINDS, -1);

	CHECK_EQ(rl_os_submit(os, &p.op), -EINVAL);
	CHECK(!p.op.in_flight);
	close_sim(os);
}

TEST(what_a_completion_submits_waits_for_the_next_poll)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		struct probe a = probe_of(os, RL_OP_NOP, -1);

		a.submit = &a.op; /* its own op: it is free again when done runs */
		rl_os_submit(os, &a.op);
		CHECK_EQ(rl_os_poll(os, -1), 1);
		CHECK_EQ(a.calls, 1);
		CHECK(a.op.in_flight);
		settle(os);
		CHECK_EQ(a.calls, 2);
		close_sim(os);
	}
}

TEST(poll_delivers_all_that_is_due)
{
	struct rl_os *os = open_sim(1, NULL);
	struct probe p[32];
	int n;

	for (int i = 0; i < 32; i++) {
		p[i] = probe_of(os, RL_OP_NOP, -1);
		rl_os_submit(os, &p[i].op);
	}
	n = rl_os_poll(os, 0);
	CHECK(n > 8 && n < 24);
	CHECK(!rl_os_ready(os));
	settle(os);
	close_sim(os);
}

/* The earliest event is at the root, whatever is cancelled in between. */
TEST(the_queue_stays_a_heap)
{
	struct rl_os *os = open_sim(1, NULL);
	const struct rl_sim *sim = rl_container(os, struct rl_sim, os);
	struct probe p[200];

	for (int i = 0; i < 200; i++) {
		p[i] = probe_of(os, RL_OP_NOP, -1);
		rl_os_submit(os, &p[i].op);
	}
	for (int i = 0; i < 200; i++) {
		rl_os_cancel(os, &p[os->ops->random(os) % 200].op);
		for (unsigned k = 1; k < sim->heap_len; k++)
			CHECK(sim->heap[(k - 1) / 2]->due_ns <= sim->heap[k]->due_ns);
	}
	settle(os);
	close_sim(os);
}

TEST(wake_ends_a_poll_once)
{
	struct rl_os *os = open_sim(1, NULL);

	os->ops->wake(os);
	CHECK(rl_os_ready(os));
	CHECK_EQ(rl_os_poll(os, START_NS + 1000), 0);
	CHECK_EQ(rl_os_now(os), START_NS);
	CHECK(!rl_os_ready(os));
	CHECK_EQ(rl_os_poll(os, START_NS + 1000), 0);
	CHECK_EQ(rl_os_now(os), START_NS + 1000);
	close_sim(os);
}

TEST(random_is_the_seeds)
{
	struct rl_os *a = open_sim(5, NULL), *b = open_sim(5, NULL), *c = open_sim(6, NULL);
	uint64_t x = a->ops->random(a);

	CHECK(x == b->ops->random(b));
	CHECK(x != c->ops->random(c));
	CHECK(x != a->ops->random(a));
	close_sim(a);
	close_sim(b);
	close_sim(c);
}

/* Order and determinism. */

static uint64_t nop_order(uint64_t seed)
{
	struct rl_os *os = open_sim(seed, NULL);
	struct probe p[8];
	uint64_t order = 0;
	int rank[8];

	for (int i = 0; i < 8; i++) {
		p[i] = probe_of(os, RL_OP_NOP, -1);
		rl_os_submit(os, &p[i].op);
	}
	for (int n = 0; n < 8;)
		n += rl_os_poll(os, -1);
	for (int i = 0; i < 8; i++) {
		rank[i] = 0;
		for (int j = 0; j < 8; j++)
			rank[i] += p[j].at_ns < p[i].at_ns || (p[j].at_ns == p[i].at_ns && j < i);
		order = order * 8 + (uint64_t)rank[i];
	}
	close_sim(os);
	return order;
}

TEST(seeds_order_concurrent_completions)
{
	int different = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		CHECK(nop_order(seed) == nop_order(seed));
		different += nop_order(seed) != nop_order(seed + 1);
	}
	CHECK(different >= 15);
}

TEST(seeds_order_completions_of_one_instant)
{
	int swapped = 0, straight = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		struct rl_op ops[2] = {{.done = on_serial, .fd = 0}, {.done = on_serial, .fd = 1}};

		serial = 0;
		rl_os_submit(os, &ops[0]);
		rl_os_submit(os, &ops[1]);
		if (rl_os_poll(os, 0) == 2) {
			swapped += first_serial[0] > first_serial[1];
			straight += first_serial[0] < first_serial[1];
		}
		settle(os);
		close_sim(os);
	}
	CHECK(swapped > 5);
	CHECK(straight > 5);
}

/* Helper work. */

struct job {
	struct rl_work work;
	struct rl_os *os;
	int ran, done;
};

static void job_run(struct rl_work *w)
{
	rl_container(w, struct job, work)->ran++;
}

static void job_done(struct rl_work *w)
{
	struct job *j = rl_container(w, struct job, work);

	CHECK_EQ(j->ran, 1);
	CHECK_EQ(j->os->works, 0);
	j->done++;
}

TEST(offload_runs_later_inside_poll)
{
	struct rl_os *os = open_sim(3, NULL);
	struct job j = {.work = {.fn = job_run, .done = job_done}, .os = os}, k = j;

	CHECK_EQ(os->ops->offload(os, &j.work), 0);
	CHECK_EQ(j.ran, 0);
	CHECK_EQ(os->works, 1);
	CHECK_EQ(rl_os_poll(os, -1), 1);
	CHECK_EQ(j.ran, 1);
	CHECK_EQ(j.done, 1);
	CHECK_EQ(os->works, 0);
	CHECK_EQ(os->ops->offload(os, &k.work), 0);
	CHECK_EQ(os->ops->close(os), 0); /* `done` is not called */
	CHECK_EQ(k.done, 0);
}

TEST(a_buffer_put_back_twice_is_caught)
{
	struct rl_os *os = open_sim(1, NULL);
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		close(STDERR_FILENO);
		os->ops->buf_put(os, 0); /* never lent */
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	close_sim(os);
}

TEST(open_checks_its_configuration)
{
	struct rl_os_config odd = {.buf_count = 3}, huge = {.buf_count = 65536};
	struct rl_os *os = NULL;

	CHECK_EQ(rl_sim_ops.open(&os, &odd), -EINVAL);
	CHECK_EQ(rl_sim_ops.open(&os, &huge), -EINVAL);
	CHECK_EQ(rl_sim_ops.open(&os, NULL), 0);
	close_sim(os);
}

TEST(cancel_or_completion_wins)
{
	int cancelled = 0, completed = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		struct probe p = probe_of(os, RL_OP_NOP, -1);

		rl_os_submit(os, &p.op);
		rl_os_cancel(os, &p.op);
		CHECK_EQ(p.calls, 0);
		settle(os);
		CHECK_EQ(p.calls, 1);
		CHECK(!p.op.in_flight);
		cancelled += p.res == -ECANCELED;
		completed += p.res == 0;
		rl_os_cancel(os, &p.op); /* of an op that has ended: nothing */
		settle(os);
		CHECK_EQ(p.calls, 1);
		close_sim(os);
	}
	CHECK(cancelled > 20);
	CHECK(completed > 20);
	CHECK_EQ(cancelled + completed, 100);
}

TEST(a_second_cancel_changes_nothing)
{
	for (uint64_t seed = 0; seed < 40; seed++) {
		int res[2];

		for (int twice = 0; twice < 2; twice++) {
			struct rl_os *os = open_sim(seed, NULL);
			struct probe p = probe_of(os, RL_OP_NOP, -1);

			rl_os_submit(os, &p.op);
			rl_os_cancel(os, &p.op);
			if (twice)
				rl_os_cancel(os, &p.op);
			settle(os);
			res[twice] = p.res;
			close_sim(os);
		}
		CHECK_EQ(res[0], res[1]);
	}
}

TEST(a_cancel_that_wins_shows_in_a_later_poll)
{
	int won = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct rl_os *os = open_sim(seed, NULL);
		struct probe a = probe_of(os, RL_OP_NOP, -1), b = a;

		rl_os_submit(os, &a.op);
		rl_os_submit(os, &b.op);
		a.cancel = &b.op;
		settle(os);
		CHECK_EQ(b.calls, 1);
		if (b.res == -ECANCELED) {
			CHECK(b.at_enter > a.at_enter);
			won++;
		}
		close_sim(os);
	}
	CHECK(won > 10);
}

TEST(close_frees_what_is_in_flight)
{
	struct rl_os *os = open_sim(1, NULL);
	struct sockaddr_in a = loopback(80);
	char *data = pattern(200000, 9);
	struct probe con[5], send, recv, acc, nop;
	int client, server;

	listen_on(os, 80, 2);
	connect_five(os, con, &a);
	pair(os, &client, &server, 0);
	send = probe_of(os, RL_OP_SEND, client);
	recv = probe_of(os, RL_OP_RECV, server);
	acc = probe_of(os, RL_OP_ACCEPT, listen_on(os, 81, 2));
	nop = probe_of(os, RL_OP_NOP, -1);
	send.op.data = data;
	send.op.len = 200000;
	rl_os_submit(os, &send.op);
	settle(os);
	os->ops->close_now(os, client);
	rl_os_submit(os, &recv.op);
	rl_os_submit(os, &acc.op);
	rl_os_submit(os, &nop.op);
	rl_os_cancel(os, &recv.op);
	CHECK_EQ(os->ops->close(os), 0);
	CHECK_EQ(send.calls + recv.calls + acc.calls + nop.calls, 0);
	CHECK(!send.op.in_flight && !recv.op.in_flight && !acc.op.in_flight && !nop.op.in_flight);
	free(data);
}

int main(void)
{
	RUN(clock_moves_only_towards_a_deadline);
	RUN(poll_jumps_to_the_completion_not_the_deadline);
	RUN(internal_ops_are_not_in_flight);
	RUN(submit_refuses_an_unknown_kind);
	RUN(what_a_completion_submits_waits_for_the_next_poll);
	RUN(poll_delivers_all_that_is_due);
	RUN(the_queue_stays_a_heap);
	RUN(wake_ends_a_poll_once);
	RUN(random_is_the_seeds);
	RUN(seeds_order_concurrent_completions);
	RUN(seeds_order_completions_of_one_instant);
	RUN(offload_runs_later_inside_poll);
	RUN(a_buffer_put_back_twice_is_caught);
	RUN(open_checks_its_configuration);
	RUN(cancel_or_completion_wins);
	RUN(a_second_cancel_changes_nothing);
	RUN(a_cancel_that_wins_shows_in_a_later_poll);
	RUN(close_frees_what_is_in_flight);
	return FINISH();
}
