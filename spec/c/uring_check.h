/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the uring backend share: one os at a time, opened by START (which skips the
 * test where io_uring is forbidden) and checked for leftovers by finish; an op that remembers.
 */
#ifndef RL_SPEC_URING_CHECK_H
#define RL_SPEC_URING_CHECK_H

#include "check.h"

#include "os/os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static struct rl_os *os;

static const char *no_os;

static inline bool start(const struct rl_os_config *config)
{
	int err = rl_os_open(&os, "uring", config, &no_os);
	if (err == 0)
		return true;
	CHECK(err == -ENOSYS || err == -EPERM || err == -EACCES);
	return false;
}

#define START(...) \
	do { \
		if (!start(&(struct rl_os_config){ __VA_ARGS__ })) \
			SKIP(no_os); \
	} while (0)

/* Nothing may be left when a test ends. */
static inline void finish(void)
{
	CHECK_EQ(os->in_flight, 0);
	CHECK_EQ(os->works, 0);
	CHECK_EQ(os->buf_free, os->buf_count);
	CHECK_EQ(os->stats.submitted, os->stats.completed);
	CHECK_EQ(os->ops->close(os), 0);
	os = NULL;
}

/* An op that remembers what happened to it. */
struct probe_op {
	struct rl_op op;
	int calls, last, res, fd_new;
	bool keep;            /* do not put buffers back */
	unsigned held[64], holds;
	char bytes[8192];
	unsigned len;
	void (*then)(struct probe_op *p);
};

static inline void probe_done(struct rl_op *op, int res, uint32_t flags)
{
	struct probe_op *p = rl_container(op, struct probe_op, op);
	p->calls++;
	p->res = res;
	if (op->kind == RL_OP_ACCEPT && res >= 0)
		p->fd_new = res;
	if (flags & RL_DONE_BUF) {
		unsigned bid = RL_DONE_BID(flags);
		if (res > 0 && p->len + (unsigned)res <= sizeof(p->bytes)) {
			memcpy(p->bytes + p->len, os->ops->buf(os, bid), (size_t)res);
			p->len += (unsigned)res;
		}
		if (p->keep)
			p->held[p->holds++] = bid;
		else
			os->ops->buf_put(os, bid);
	}
	if (!(flags & RL_DONE_MORE)) {
		p->last++;
		CHECK(!op->in_flight);
	}
	if (p->then)
		p->then(p);
}

static inline struct probe_op *probe_new(int kind, int fd)
{
	struct probe_op *p = calloc(1, sizeof(*p));
	p->op.kind = (uint8_t)kind;
	p->op.fd = fd;
	p->op.done = probe_done;
	p->fd_new = -1;
	return p;
}

static inline void submit(struct probe_op *p)
{
	CHECK_EQ(rl_os_submit(os, &p->op), 0);
	CHECK(p->op.in_flight);
}

/* Poll until `*word` reaches `want`, for at most twenty seconds. */
static inline void poll_until(const int *word, int want)
{
	int64_t limit = rl_os_now(os) + 20 * SECOND;
	while (*word < want && rl_os_now(os) < limit)
		rl_os_poll(os, limit);
	CHECK_EQ(*word, want);
}

/* End a multishot op that may have ended by itself. */
static inline void stop(struct probe_op *p)
{
	int last = p->last;
	if (!p->op.in_flight)
		return;
	rl_os_cancel(os, &p->op);
	poll_until(&p->last, last + 1);
}

static inline void put_held(struct probe_op *p)
{
	while (p->holds > 0)
		os->ops->buf_put(os, p->held[--p->holds]);
}

static inline void sockets(int fds[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static inline void close_both(int fds[2])
{
	os->ops->close_now(os, fds[0]);
	os->ops->close_now(os, fds[1]);
}

static inline int listener(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int one = 1;
	int fd = os->ops->socket(os, AF_INET, SOCK_STREAM);
	CHECK(fd >= 0);
	CHECK_EQ(os->ops->setsockopt(os, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	CHECK_EQ(os->ops->bind(os, fd, (struct sockaddr *)addr, len), 0);
	CHECK_EQ(os->ops->listen(os, fd, 64), 0);
	CHECK_EQ(os->ops->getsockname(os, fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static inline struct sockaddr_in loopback(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

#endif
