/* SPDX-License-Identifier: MIT */
/*
 * sim_fault: every fault point alone, then traffic under all of them: each end re-arms and retries
 * as a runtime has to, and no byte may be lost, doubled or moved.
 */
#include "sim_probe.h"

/* Each point alone. */

static struct rl_fault_count count_of(struct rl_os *os, const char *name)
{
	struct rl_fault_count counts[32];
	unsigned n = rl_sim_fault_counts(os, counts, 32);

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(counts[i].name, name) == 0)
			return counts[i];
	}
	CHECK(!"the fault point exists");
	return (struct rl_fault_count){0};
}

TEST(fault_lists_are_checked)
{
	static const char *const bad[] = {"nonsense=0.1", "delay", "delay=", "delay=1.5", "delay=-1",
		"delay=0.1x", "delay=.", "=0.5", "short_write=0.1,,delay=1", "short=0.1", "al=1",
		"delay=0,1"};
	static const char *const good[] = {"", "delay=1", "all=0.02", "all=0,delay=0.5", "delay=.5",
		"eintr=1.000", "enobufs=0.1,"};
	struct rl_os *os = NULL;

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct rl_os_config config = {.faults = bad[i]};

		CHECK_EQ(rl_sim_ops.open(&os, &config), -EINVAL);
	}
	for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
		close_sim(open_sim(1, good[i]));
}

TEST(faults_count_questions_and_answers)
{
	struct rl_os *os = open_sim(1, "delay=0.25");
	struct rl_fault_count few[3];
	struct probe p = probe_of(os, RL_OP_NOP, -1);

	CHECK_EQ(rl_sim_fault_counts(os, few, 3), 11);
	CHECK(strcmp(few[0].name, "short_write") == 0);
	for (int i = 0; i < 1000; i++)
		run_op(&p);
	CHECK_EQ(count_of(os, "delay").asked, 1000);
	CHECK(count_of(os, "delay").fired > 200 && count_of(os, "delay").fired < 300);
	CHECK_EQ(count_of(os, "cq_overflow").fired, 0);
	CHECK(count_of(os, "cq_overflow").asked > 0);
	close_sim(os);
}

TEST(fault_short_write)
{
	struct rl_os *os = open_sim(1, "short_write=1");
	char data[100] = "";
	int client, server, n;

	pair(os, &client, &server, 0);
	n = do_send(os, client, data, 100);
	CHECK(n > 0 && n < 100);
	CHECK_EQ(do_send(os, client, data, 1), 1);
	CHECK_EQ(count_of(os, "short_write").fired, 1);
	close_sim(os);
}

TEST(fault_short_read)
{
	struct rl_os *os = open_sim(1, "short_read=1");
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	do_send(os, client, "0123456789", 10);
	recv = probe_of(os, RL_OP_RECV, server);
	rl_os_submit(os, &recv.op);
	settle(os);
	CHECK(recv.calls > 1);
	CHECK_EQ(recv.len, 10);
	CHECK(memcmp(recv.data, "0123456789", 10) == 0);
	cancel_all(os, &recv);
	free(recv.data);
	close_sim(os);
}

TEST(fault_econnreset)
{
	struct rl_os *os = open_sim(1, "econnreset=1");
	int client, server;
	struct probe recv;

	pair(os, &client, &server, 0);
	recv = probe_of(os, RL_OP_RECV, server);
	rl_os_submit(os, &recv.op);
	settle(os);
	CHECK_EQ(recv.calls, 0); /* nothing happens on an idle connection */
	CHECK_EQ(do_send(os, client, "x", 1), -ECONNRESET);
	CHECK_EQ(recv.res, -ECONNRESET);
	CHECK_EQ(recv.flags, 0);
	CHECK_EQ(do_send(os, server, "x", 1), -EPIPE);
	close_sim(os);
}

TEST(fault_econnreset_is_never_a_clean_end)
{
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct rl_os *os = open_sim(seed, "econnreset=0.3");
		int client, server, sent;
		struct probe recv;

		pair(os, &client, &server, 0);
		recv = probe_of(os, RL_OP_RECV, server);
		sent = do_send(os, client, "0123456789", 10);
		os->ops->close_now(os, client);
		run_op(&recv);
		CHECK(recv.res == -ECONNRESET || (recv.res == 0 && recv.len == 10 && sent == 10));
		free(recv.data);
		close_sim(os);
	}
}

TEST(fault_enobufs_enomem_multishot_end)
{
	struct rl_os *os = open_sim(1, "enobufs=1");
	int client, server;
	struct probe recv, acc;

	pair(os, &client, &server, 0);
	do_send(os, client, "abc", 3);
	recv = probe_of(os, RL_OP_RECV, server);
	CHECK_EQ(run_op(&recv), -ENOBUFS);
	CHECK_EQ(os->buf_free, os->buf_count);
	close_sim(os);

	os = open_sim(1, "enomem=1");
	acc = probe_of(os, RL_OP_ACCEPT, listen_on(os, 80, 1));
	CHECK_EQ(do_connect(os, tcp(os), 80), -ENOMEM);
	rl_os_submit(os, &acc.op);
	cancel_all(os, &acc);
	close_sim(os);

	os = open_sim(1, "multishot_end=1");
	server = listen_on(os, 80, 8);
	client = tcp(os);
	do_connect(os, client, 80);
	do_connect(os, tcp(os), 80);
	acc = probe_of(os, RL_OP_ACCEPT, server);
	CHECK(run_op(&acc) > 0);
	CHECK_EQ(acc.flags, 0);
	CHECK_EQ(acc.calls, 1);
	do_send(os, client, "abc", 3);
	recv = probe_of(os, RL_OP_RECV, acc.fds[0]);
	CHECK_EQ(run_op(&recv), 3);
	CHECK_EQ(recv.flags & 0xffff, RL_DONE_BUF);
	CHECK(run_op(&acc) > 0);
	free(recv.data);
	close_sim(os);
}

TEST(fault_enomem_ends_accept_and_keeps_the_connection)
{
	int seen_nomem = 0, seen_mfile = 0;

	for (uint64_t seed = 0; seed < 30; seed++) {
		struct rl_os *os = open_sim(seed, "enomem=0.5");
		struct probe acc = probe_of(os, RL_OP_ACCEPT, listen_on(os, 80, 8));
		int fd = tcp(os);

		while (do_connect(os, fd, 80) != 0)
			continue;
		do {
			run_op(&acc);
			seen_nomem += acc.res == -ENOMEM;
			seen_mfile += acc.res == -EMFILE;
		} while (!acc.op.in_flight);
		CHECK_EQ(acc.fds_len, 1);
		cancel_all(os, &acc);
		close_sim(os);
	}
	CHECK(seen_nomem > 0);
	CHECK(seen_mfile > 0);
}

TEST(fault_cq_overflow_holds_and_loses_nothing)
{
	struct rl_os *os = open_sim(1, "cq_overflow=1");
	struct probe p[8];
	int total = 0;

	for (int i = 0; i < 8; i++) {
		p[i] = probe_of(os, RL_OP_NOP, -1);
		rl_os_submit(os, &p[i].op);
	}
	for (int round = 0; round < 30; round++)
		total += rl_os_poll(os, -1);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(p[i].calls, 1);
	CHECK_EQ(total, 8);
	CHECK(os->stats.overflows > 0);
	CHECK_EQ(os->stats.overflows, count_of(os, "cq_overflow").fired);
	close_sim(os);
}

TEST(what_was_held_back_comes_first)
{
	int held = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct rl_os *os = open_sim(seed, "cq_overflow=0.5");
		struct rl_op ops[2] = {{.done = on_serial, .fd = 0}, {.done = on_serial, .fd = 1}};

		serial = 0;
		rl_os_submit(os, &ops[0]);
		held += rl_os_poll(os, -1) == 0;
		rl_os_submit(os, &ops[1]);
		settle(os);
		CHECK_EQ(first_serial[0], 0);
		CHECK_EQ(first_serial[1], 1);
		close_sim(os);
	}
	CHECK(held > 20);
}

TEST(what_is_held_back_does_not_wait_for_the_deadline)
{
	struct rl_os *os = open_sim(1, "cq_overflow=1");
	struct probe p = probe_of(os, RL_OP_NOP, -1);

	rl_os_submit(os, &p.op);
	CHECK_EQ(rl_os_poll(os, START_NS + 1000000000), 0);
	CHECK(rl_os_ready(os));
	CHECK(rl_os_now(os) <= START_NS + 200000);
	CHECK_EQ(rl_os_poll(os, START_NS + 1000000000), 1);
	CHECK(rl_os_now(os) <= START_NS + 200000);
	close_sim(os);
}

TEST(fault_cancel_race)
{
	for (uint64_t seed = 0; seed < 30; seed++) {
		struct rl_os *os = open_sim(seed, "cancel_race=1");
		struct probe p = probe_of(os, RL_OP_NOP, -1), recv;
		int client, server;

		rl_os_submit(os, &p.op);
		rl_os_cancel(os, &p.op);
		settle(os);
		CHECK_EQ(p.res, 0);
		pair(os, &client, &server, 0);
		recv = probe_of(os, RL_OP_RECV, server);
		rl_os_submit(os, &recv.op);
		cancel_all(os, &recv); /* nothing to race with */
		CHECK_EQ(recv.res, -ECANCELED);
		close_sim(os);
	}
}

TEST(fault_delay)
{
	struct rl_os *os = open_sim(1, "delay=1");
	struct probe p = probe_of(os, RL_OP_NOP, -1);

	run_op(&p);
	CHECK(p.at_ns >= START_NS + 1000000);
	CHECK(p.at_ns <= START_NS + 50200000);
	close_sim(os);
}

TEST(fault_eintr)
{
	struct rl_os *os = open_sim(1, "eintr=1");

	CHECK_EQ(rl_os_poll(os, 0), 0);
	CHECK_EQ(rl_os_poll(os, -1), 0); /* it would not wait */
	CHECK_EQ(rl_os_poll(os, START_NS + 500), -EINTR);
	CHECK_EQ(rl_os_now(os), START_NS);
	CHECK_EQ(rl_os_poll(os, START_NS + 500), 0);
	CHECK_EQ(rl_os_now(os), START_NS + 500);
	CHECK_EQ(rl_os_poll(os, START_NS + 900), -EINTR); /* again, after progress */
	close_sim(os);
}

/* Traffic: connections that echo, each end re-arming and retrying as a runtime has to. */

#define LINKS 6
#define BYTES 20000

struct end {
	struct rl_os *os;
	struct rl_op recv, send;
	int fd, dead;
	const char *out;      /* what it sends: its own, or (server) what it received */
	size_t out_len, sent;
	char in[BYTES];
	size_t in_len;
	bool eof, echo, shut;
	unsigned kicks;
};

static struct end ends[2 * LINKS];

static void end_kick(struct end *e)
{
	if (!e->recv.in_flight && !e->eof && !e->dead)
		CHECK_EQ(rl_os_submit(e->os, &e->recv), 0);
	if (e->echo)
		e->out_len = e->in_len;
	if (!e->send.in_flight && !e->dead && e->sent < e->out_len) {
		e->send.data = e->out + e->sent;
		e->send.len = (uint32_t)(e->out_len - e->sent);
		CHECK_EQ(rl_os_submit(e->os, &e->send), 0);
	}
	if (++e->kicks % 7 == 0 && e->recv.in_flight) /* flow control: cancel, re-arm when it ended */
		rl_os_cancel(e->os, &e->recv);
}

static void end_failed(struct end *e, int res)
{
	log_add((uint64_t)res);
	if (res == -ECONNRESET || res == -EPIPE)
		e->dead = res;
	else
		CHECK(res == -ENOBUFS || res == -ENOMEM || res == -ECANCELED);
}

static void end_received(struct rl_op *op, int res, uint32_t flags)
{
	struct end *e = rl_container(op, struct end, recv);

	CHECK_EQ(op->in_flight, (flags & RL_DONE_MORE) != 0);
	log_add((uint64_t)(e - ends) * 8 + (flags & 3));
	log_add((uint64_t)rl_os_now(e->os) + (uint64_t)res);
	if (res < 0)
		end_failed(e, res);
	e->eof = e->eof || res == 0;
	if (flags & RL_DONE_BUF) {
		CHECK(e->in_len + (size_t)res <= BYTES);
		memcpy(e->in + e->in_len, e->os->ops->buf(e->os, RL_DONE_BID(flags)), (size_t)res);
		e->in_len += (size_t)res;
		e->os->ops->buf_put(e->os, RL_DONE_BID(flags));
	}
	end_kick(e);
}

static void end_sent(struct rl_op *op, int res, uint32_t flags)
{
	struct end *e = rl_container(op, struct end, send);

	CHECK_EQ(flags, 0);
	log_add((uint64_t)(e - ends) * 8 + 7);
	log_add((uint64_t)rl_os_now(e->os) + (uint64_t)res);
	if (res < 0)
		end_failed(e, res);
	else
		e->sent += (size_t)res;
	end_kick(e);
}

static void end_init(struct end *e, struct rl_os *os, int fd, const char *out)
{
	memset(e, 0, sizeof *e);
	e->os = os;
	e->fd = fd;
	e->echo = !out;
	e->out = out ? out : e->in;
	e->out_len = out ? BYTES : 0;
	e->recv = (struct rl_op){.kind = RL_OP_RECV, .fd = fd, .done = end_received};
	e->send = (struct rl_op){.kind = RL_OP_SEND, .fd = fd, .done = end_sent};
}

/* Connect all links, whatever the faults say; client i gets the server end that names it. */
static void links_open(struct rl_os *os, char **data)
{
	int l = listen_on(os, 80, 3);
	struct probe acc = probe_of(os, RL_OP_ACCEPT, l);

	for (int i = 0; i < LINKS; i++) {
		int fd = tcp(os), had = acc.fds_len;

		set_int(os, fd, SOL_SOCKET, SO_RCVBUF, 3000);
		while (do_connect(os, fd, 80) != 0)
			continue;
		while (acc.fds_len == had) {
			if (!acc.op.in_flight)
				rl_os_submit(os, &acc.op);
			settle(os);
		}
		data[i] = pattern(BYTES, (unsigned)i);
		end_init(&ends[2 * i], os, fd, data[i]);
		end_init(&ends[2 * i + 1], os, acc.fds[had], NULL);
	}
	cancel_all(os, &acc);
	os->ops->close_now(os, l);
}

static void links_check(char **data)
{
	for (int i = 0; i < LINKS; i++) {
		const struct end *c = &ends[2 * i], *s = c + 1;

		CHECK(memcmp(s->in, data[i], s->in_len) == 0);
		CHECK(memcmp(c->in, data[i], c->in_len) == 0);
		if (!c->dead && !s->dead) {
			CHECK_EQ(s->in_len, BYTES);
			CHECK_EQ(c->in_len, BYTES);
		}
	}
}

static uint64_t traffic(uint64_t seed, const char *faults, int *dead)
{
	struct rl_os *os = open_sim(seed, faults);
	char *data[LINKS];

	links_open(os, data);
	for (int i = 0; i < 2 * LINKS; i++)
		end_kick(&ends[i]);
	settle(os);
	links_check(data);
	for (int i = 0; i < 2 * LINKS; i++) {
		*dead += ends[i].dead != 0;
		ends[i].dead = 1;
		if (ends[i].recv.in_flight)
			rl_os_cancel(os, &ends[i].recv);
	}
	settle(os);
	CHECK_EQ(os->buf_free, os->buf_count);
	CHECK_EQ(os->stats.submitted, os->stats.completed);
	for (int i = 0; i < LINKS; i++)
		free(data[i]);
	close_sim(os);
	return log_hash;
}

TEST(bytes_survive_every_fault)
{
	static const char *const faults[] = {"", "short_write=0.5", "short_read=0.5", "enobufs=0.3",
		"enomem=0.3", "cq_overflow=0.5", "cancel_race=0.5", "multishot_end=0.3", "delay=0.2",
		"eintr=0.5", "all=0.15,econnreset=0"};
	int dead = 0;

	for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) {
		for (uint64_t seed = 0; seed < 5; seed++)
			traffic(seed, faults[i], &dead);
	}
	CHECK_EQ(dead, 0);
}

TEST(a_reset_leaves_a_prefix)
{
	int dead = 0;

	for (uint64_t seed = 0; seed < 20; seed++)
		traffic(seed, "all=0.02", &dead);
	CHECK(dead > 20);
}

TEST(one_seed_is_one_run)
{
	int dead = 0, different = 0;

	for (uint64_t seed = 0; seed < 10; seed++) {
		const char *faults = seed & 1 ? "all=0.05" : NULL;
		uint64_t first = traffic(seed, faults, &dead);
		void *shift = malloc(1000 + 64 * seed); /* addresses differ from run to run */

		CHECK(first == traffic(seed, faults, &dead));
		different += first != traffic(seed + 100, faults, &dead);
		free(shift);
	}
	CHECK_EQ(different, 10);
}

int main(void)
{
	RUN(fault_lists_are_checked);
	RUN(faults_count_questions_and_answers);
	RUN(fault_short_write);
	RUN(fault_short_read);
	RUN(fault_econnreset);
	RUN(fault_econnreset_is_never_a_clean_end);
	RUN(fault_enobufs_enomem_multishot_end);
	RUN(fault_enomem_ends_accept_and_keeps_the_connection);
	RUN(fault_cq_overflow_holds_and_loses_nothing);
	RUN(what_was_held_back_comes_first);
	RUN(what_is_held_back_does_not_wait_for_the_deadline);
	RUN(fault_cancel_race);
	RUN(fault_delay);
	RUN(fault_eintr);
	RUN(bytes_survive_every_fault);
	RUN(a_reset_leaves_a_prefix);
	RUN(one_seed_is_one_run);
	return FINISH();
}
