/* SPDX-License-Identifier: MIT */
/*
 * sim_probe: what the tests of the sim share. A probe is one op that remembers what it was told;
 * the rest is a TCP client and server in one line each.
 */
#ifndef RL_SPEC_SIM_PROBE_H
#define RL_SPEC_SIM_PROBE_H

#include "check.h"

#include "base/err.h"
#include "os/os.h"
#include "os/sim.h"

#include <netinet/in.h>
#include <stdlib.h>

#define FDS_MAX  64
#define START_NS 1000000000LL /* where the clock of the sim begins */

/* One op and everything it was told. */
struct probe {
	struct rl_op op;
	struct rl_os *os;
	int calls, res;       /* of the last completion */
	uint32_t flags;
	int fds[FDS_MAX], fds_len;
	char *data;           /* received */
	size_t len;
	bool keep;            /* do not put buffers back */
	unsigned bids[FDS_MAX];
	struct rl_op *submit; /* from `done`, once */
	struct rl_op *cancel; /* from `done`, once */
	uint64_t at_enter;    /* the poll it completed in */
	int64_t at_ns;
};

static uint64_t log_hash; /* of every completion of the current test */

static inline void log_add(uint64_t value)
{
	log_hash = (log_hash ^ value) * 0x100000001b3u;
	log_hash ^= log_hash >> 29;
}

static inline void on_done(struct rl_op *op, int res, uint32_t flags)
{
	struct probe *p = rl_container(op, struct probe, op);

	log_add((uint64_t)res);
	log_add(flags);
	log_add((uint64_t)rl_os_now(p->os));
	log_add(op->kind);
	p->res = res;
	p->flags = flags;
	p->at_ns = rl_os_now(p->os);
	p->at_enter = p->os->stats.enters;
	if (op->kind == RL_OP_ACCEPT && res >= 0)
		p->fds[p->fds_len++] = res;
	if (flags & RL_DONE_BUF) {
		unsigned bid = RL_DONE_BID(flags);

		p->data = realloc(p->data, p->len + (size_t)res);
		memcpy(p->data + p->len, p->os->ops->buf(p->os, bid), (size_t)res);
		p->len += (size_t)res;
		if (p->keep)
			p->bids[p->calls % FDS_MAX] = bid;
		else
			p->os->ops->buf_put(p->os, bid);
	}
	p->calls++;
	if (p->submit) {
		struct rl_op *next = p->submit;

		p->submit = NULL;
		rl_os_submit(p->os, next);
	}
	if (p->cancel) {
		rl_os_cancel(p->os, p->cancel);
		p->cancel = NULL;
	}
}

static inline struct rl_os *open_sim(uint64_t seed, const char *faults)
{
	struct rl_os_config config = {.buf_count = 64, .buf_size = 4096, .seed = seed,
		.faults = faults};
	struct rl_os *os = NULL;

	CHECK_EQ(rl_sim_ops.open(&os, &config), 0);
	log_hash = 0xcbf29ce484222325u;
	return os;
}

/* Every test ends here: nothing in flight that the test did not mean. */
static inline void close_sim(struct rl_os *os)
{
	CHECK_EQ(os->in_flight, 0);
	CHECK_EQ(os->works, 0);
	CHECK_EQ(os->ops->close(os), 0);
}

static inline struct probe probe_of(struct rl_os *os, int kind, int fd)
{
	return (struct probe){.os = os, .op = {.done = on_done, .kind = (uint8_t)kind, .fd = fd}};
}

/* Poll until nothing is left that could happen by itself. */
static inline void settle(struct rl_os *os)
{
	int n;

	do
		n = rl_os_poll(os, -1);
	while (n != 0 || rl_os_ready(os));
}

static inline void cancel_all(struct rl_os *os, struct probe *p)
{
	if (p->op.in_flight)
		rl_os_cancel(os, &p->op);
	settle(os);
	CHECK(!p->op.in_flight);
}

static inline struct sockaddr_in loopback(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static inline int tcp(struct rl_os *os)
{
	return os->ops->socket(os, AF_INET, SOCK_STREAM);
}

static inline int listen_on(struct rl_os *os, unsigned port, int backlog)
{
	struct sockaddr_in a = loopback(port);
	int fd = tcp(os);

	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)&a, sizeof a), 0);
	CHECK_EQ(os->ops->listen(os, fd, backlog), 0);
	return fd;
}

static inline int set_int(struct rl_os *os, int fd, int level, int name, int value)
{
	return os->ops->setsockopt(os, fd, level, name, &value, sizeof value);
}

static inline int get_int(struct rl_os *os, int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	CHECK_EQ(os->ops->getsockopt(os, fd, level, name, &value, &len), 0);
	return value;
}

/* Submit one op, let everything happen, give its result. */
static inline int run_op(struct probe *p)
{
	CHECK_EQ(rl_os_submit(p->os, &p->op), 0);
	settle(p->os);
	return p->res;
}

static inline int do_connect(struct rl_os *os, int fd, unsigned port)
{
	struct sockaddr_in a = loopback(port);
	struct probe p = probe_of(os, RL_OP_CONNECT, fd);

	p.op.addr = (struct sockaddr *)&a;
	p.op.addr_len = sizeof a;
	return run_op(&p);
}

static inline int do_send(struct rl_os *os, int fd, const void *data, size_t len)
{
	struct probe p = probe_of(os, RL_OP_SEND, fd);

	p.op.data = data;
	p.op.len = (uint32_t)len;
	return run_op(&p);
}

static inline int do_shutdown(struct rl_os *os, int fd, int how)
{
	struct probe p = probe_of(os, RL_OP_SHUTDOWN, fd);

	p.op.how = how;
	return run_op(&p);
}

static inline int do_close(struct rl_os *os, int fd)
{
	struct probe p = probe_of(os, RL_OP_CLOSE, fd);

	return run_op(&p);
}

/* A connection over a listener that is closed again; buf > 0 sets the buffers of both ends. */
static inline void pair(struct rl_os *os, int *client, int *server, int buf)
{
	int l = listen_on(os, 0, 16);
	struct probe acc = probe_of(os, RL_OP_ACCEPT, l);
	struct sockaddr_in a;
	socklen_t len = sizeof a;

	*client = tcp(os);
	if (buf > 0) {
		set_int(os, l, SOL_SOCKET, SO_SNDBUF, buf);
		set_int(os, l, SOL_SOCKET, SO_RCVBUF, buf);
		set_int(os, *client, SOL_SOCKET, SO_SNDBUF, buf);
		set_int(os, *client, SOL_SOCKET, SO_RCVBUF, buf);
	}
	os->ops->getsockname(os, l, (struct sockaddr *)&a, &len);
	rl_os_submit(os, &acc.op);
	CHECK_EQ(do_connect(os, *client, ntohs(a.sin_port)), 0);
	CHECK_EQ(acc.fds_len, 1);
	*server = acc.fds[0];
	cancel_all(os, &acc);
	os->ops->close_now(os, l);
}

static inline char *pattern(size_t len, unsigned salt)
{
	char *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (char)(i * 31 + i / 251 + salt);
	return p;
}

/* Five connects against a backlog of two; returns how many are through. */
static inline int connect_five(struct rl_os *os, struct probe *con, const struct sockaddr_in *a)
{
	int through = 0;

	for (int i = 0; i < 5; i++) {
		con[i] = probe_of(os, RL_OP_CONNECT, tcp(os));
		con[i].op.addr = (const struct sockaddr *)a;
		con[i].op.addr_len = sizeof *a;
		rl_os_submit(os, &con[i].op);
	}
	settle(os);
	for (int i = 0; i < 5; i++)
		through += con[i].calls == 1 && con[i].res == 0;
	return through;
}

/* The order of two bare ops: op.fd says which, first_serial when. */
static int serial, first_serial[2];

static inline void on_serial(struct rl_op *op, int res, uint32_t flags)
{
	(void)flags;
	(void)res;
	first_serial[op->fd] = serial++;
}

#endif
