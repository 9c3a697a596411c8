// SPDX-License-Identifier: MIT
//
// The floor of the echo benches: what a C program written for nothing else reaches on io_uring.
// Multishot accept, multishot recv into a provided-buffer ring, each reply sent straight from the
// buffer the request arrived in, one kernel entry for each loop.
//
// Invariants: at most one send of a connection is in flight, the others wait in its list of
// buffers, so replies keep their order; a buffer goes back to the ring only when the kernel has
// finished sending it; a descriptor is closed only when it has no operation left in the ring.
//
// Usage: echo [buffers [buffer_size]]; prints "port N", ends by a signal or after ten minutes.
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SQ_ENTRIES = 4096,
	CQ_ENTRIES = 32768,
	BUFFERS_MAX = 32768,
	CONNS_MAX = 32768,
	GROUP = 1,
	NO_BUFFER = 0xffff,
	LIFETIME_S = 600,
};

enum op { OP_ACCEPT, OP_RECV, OP_SEND };

struct conn {
	uint16_t first, last; // buffers waiting to be sent; the first is in flight while sending
	bool sending;
	bool receiving;
	bool starved; // recv ended for want of a buffer and waits in server.starved
};

struct server {
	struct io_uring ring;
	struct io_uring_buf_ring *pool;
	unsigned char *memory;
	uint32_t buffers, buffer_size;
	uint32_t returned; // buffers added to the ring since the last advance
	uint32_t starved_len;
	int listener;
	uint16_t next[BUFFERS_MAX];
	uint32_t length[BUFFERS_MAX];
	struct conn conns[CONNS_MAX];
	int starved[CONNS_MAX];
};

static struct server server;

static void fail(const char *what, int error)
{
	fprintf(stderr, "echo: %s: %s\n", what, strerror(error));
	exit(1);
}

static struct io_uring_sqe *next_sqe(struct server *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
	if (sqe)
		return sqe;
	io_uring_submit(&s->ring);
	sqe = io_uring_get_sqe(&s->ring);
	if (!sqe)
		fail("submission queue full", EBUSY);
	return sqe;
}

static void tag(struct io_uring_sqe *sqe, enum op op, int fd)
{
	sqe->user_data = (uint64_t)(unsigned)fd << 8 | op;
}

static void arm_accept(struct server *s)
{
	struct io_uring_sqe *sqe = next_sqe(s);
	io_uring_prep_multishot_accept(sqe, s->listener, NULL, NULL, 0);
	tag(sqe, OP_ACCEPT, s->listener);
}

static void arm_recv(struct server *s, int fd)
{
	struct io_uring_sqe *sqe = next_sqe(s);
	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	tag(sqe, OP_RECV, fd);
	s->conns[fd].receiving = true;
}

static unsigned char *buffer_at(struct server *s, uint16_t buffer)
{
	return s->memory + (size_t)buffer * s->buffer_size;
}

static void return_buffer(struct server *s, uint16_t buffer)
{
	io_uring_buf_ring_add(s->pool, buffer_at(s, buffer), s->buffer_size, buffer,
			      io_uring_buf_ring_mask(s->buffers), (int)s->returned++);
}

static void send_first(struct server *s, int fd)
{
	struct conn *c = &s->conns[fd];
	struct io_uring_sqe *sqe = next_sqe(s);
	io_uring_prep_send(sqe, fd, buffer_at(s, c->first), s->length[c->first],
			   MSG_WAITALL | MSG_NOSIGNAL);
	tag(sqe, OP_SEND, fd);
	c->sending = true;
}

static void enqueue(struct server *s, int fd, uint16_t buffer, uint32_t length)
{
	struct conn *c = &s->conns[fd];
	s->length[buffer] = length;
	s->next[buffer] = NO_BUFFER;
	if (c->first == NO_BUFFER)
		c->first = buffer;
	else
		s->next[c->last] = buffer;
	c->last = buffer;
	if (!c->sending)
		send_first(s, fd);
}

static void close_when_idle(struct server *s, int fd)
{
	struct conn *c = &s->conns[fd];
	if (!c->receiving && !c->sending && !c->starved)
		close(fd);
}

static void drop_queue(struct server *s, struct conn *c)
{
	while (c->first != NO_BUFFER) {
		uint16_t buffer = c->first;
		c->first = s->next[buffer];
		return_buffer(s, buffer);
	}
}

static void on_accept(struct server *s, const struct io_uring_cqe *cqe)
{
	if (!(cqe->flags & IORING_CQE_F_MORE))
		arm_accept(s);
	if (cqe->res < 0)
		return;
	if (cqe->res >= CONNS_MAX) {
		close(cqe->res);
		return;
	}
	s->conns[cqe->res] = (struct conn){.first = NO_BUFFER, .last = NO_BUFFER};
	arm_recv(s, cqe->res);
}

static void on_recv(struct server *s, int fd, const struct io_uring_cqe *cqe)
{
	struct conn *c = &s->conns[fd];
	if (!(cqe->flags & IORING_CQE_F_MORE))
		c->receiving = false;
	if (cqe->res > 0) {
		enqueue(s, fd, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT), (uint32_t)cqe->res);
		if (!c->receiving)
			arm_recv(s, fd);
		return;
	}
	if (cqe->flags & IORING_CQE_F_BUFFER)
		return_buffer(s, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
	if (cqe->res == -ENOBUFS) {
		c->starved = true;
		s->starved[s->starved_len++] = fd;
		return;
	}
	close_when_idle(s, fd);
}

static void on_send(struct server *s, int fd, const struct io_uring_cqe *cqe)
{
	struct conn *c = &s->conns[fd];
	uint16_t buffer = c->first;
	bool complete = cqe->res == (int)s->length[buffer];
	c->sending = false;
	c->first = s->next[buffer];
	return_buffer(s, buffer);
	if (!complete) {
		drop_queue(s, c);
		shutdown(fd, SHUT_RDWR);
	}
	if (c->first != NO_BUFFER)
		send_first(s, fd);
	else if (!c->receiving)
		close_when_idle(s, fd);
}

static void handle(struct server *s, const struct io_uring_cqe *cqe)
{
	int fd = (int)(cqe->user_data >> 8);
	switch ((enum op)(cqe->user_data & 0xff)) {
	case OP_RECV:
		on_recv(s, fd, cqe);
		break;
	case OP_SEND:
		on_send(s, fd, cqe);
		break;
	case OP_ACCEPT:
		on_accept(s, cqe);
		break;
	}
}

static void feed_starved(struct server *s)
{
	while (s->starved_len > 0) {
		int fd = s->starved[--s->starved_len];
		s->conns[fd].starved = false;
		arm_recv(s, fd);
	}
}

static void turn(struct server *s)
{
	int status = io_uring_submit_and_wait(&s->ring, 1);
	if (status < 0 && status != -EINTR)
		fail("submit_and_wait", -status);
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	io_uring_for_each_cqe(&s->ring, head, cqe) {
		handle(s, cqe);
		seen++;
	}
	io_uring_cq_advance(&s->ring, seen);
	if (s->returned == 0)
		return;
	io_uring_buf_ring_advance(s->pool, (int)s->returned);
	s->returned = 0;
	feed_starved(s);
}

static void open_ring(struct server *s)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	int status = io_uring_queue_init_params(SQ_ENTRIES, &s->ring, &params);
	if (status < 0)
		fail("io_uring_queue_init", -status);
	status = io_uring_register_ring_fd(&s->ring);
	if (status < 0)
		fail("register_ring_fd", -status);
}

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail("mmap", errno);
	return memory;
}

static void open_pool(struct server *s)
{
	s->memory = map((size_t)s->buffers * s->buffer_size);
	s->pool = map(s->buffers * sizeof(struct io_uring_buf));
	struct io_uring_buf_reg registration = {
		.ring_addr = (uintptr_t)s->pool, .ring_entries = s->buffers, .bgid = GROUP};
	int status = io_uring_register_buf_ring(&s->ring, &registration, 0);
	if (status < 0)
		fail("register_buf_ring", -status);
	io_uring_buf_ring_init(s->pool);
	for (uint32_t i = 0; i < s->buffers; i++)
		return_buffer(s, (uint16_t)i);
	io_uring_buf_ring_advance(s->pool, (int)s->returned);
	s->returned = 0;
}

static void open_listener(struct server *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int one = 1;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0)
		fail("socket", errno);
	setsockopt(s->listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); // inherited
	if (bind(s->listener, (struct sockaddr *)&address, length) < 0)
		fail("bind", errno);
	if (listen(s->listener, 4096) < 0)
		fail("listen", errno);
	if (getsockname(s->listener, (struct sockaddr *)&address, &length) < 0)
		fail("getsockname", errno);
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
}

static uint32_t argument(int argc, char **argv, int index, uint32_t fallback, uint32_t max)
{
	if (index >= argc)
		return fallback;
	unsigned long value = strtoul(argv[index], NULL, 10);
	if (value == 0 || value > max)
		fail(argv[index], EINVAL);
	return (uint32_t)value;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	server.buffers = argument(argc, argv, 1, 512, BUFFERS_MAX);
	server.buffer_size = argument(argc, argv, 2, 2048, 65536);
	if (server.buffers & (server.buffers - 1))
		fail("buffers must be a power of two", EINVAL);
	alarm(LIFETIME_S);
	open_ring(&server);
	open_pool(&server);
	open_listener(&server);
	arm_accept(&server);
	for (;;)
		turn(&server);
}
