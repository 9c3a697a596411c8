/* SPDX-License-Identifier: MIT */
/*
 * sim_net: TCP and Unix sockets in memory. Virtual descriptors, addresses and ports, connections
 * with bounded buffers, and the calls of the seam that act on a socket at once. Who gets which
 * error after a FIN or a reset follows Linux, but that the reader always learns of a reset, even
 * after a sender.
 *
 * Invariants: a socket lives while anything refers to it: its descriptor, each op in flight on it,
 * or the backlog of its listener. So closing a descriptor under an armed op ends neither the op nor
 * the connection, and a reused descriptor never reaches the old socket. `peer` is mutual or NULL. A
 * byte is in exactly one place: the sender's op, the receiver's `in`, or a provided buffer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include "os/sim.h"

#include "base/check.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FD_BASE        (1 << 20)
#ifndef RL_SIM_FDS_MAX
#define RL_SIM_FDS_MAX 65536u
#endif
#define PORTS          65536u
#define EPHEMERAL_MIN  40000u
#define BACKLOG_MAX    4096
#define SOCKBUF        65536

struct rl_sim_net {
	struct rl_list socks;
	struct rl_sim_sock **slots; /* by descriptor - FD_BASE */
	unsigned slots_cap, lowest; /* no slot below `lowest` is free */
	unsigned next_port;
	uint32_t ports[PORTS];      /* sockets bound to each */
};

/* A queue of bytes. */

static int bytes_append(struct rl_sim_bytes *b, const char *data, size_t n)
{
	if (b->off + b->len + n > b->size) {
		if (b->len)
			memmove(b->data, b->data + b->off, b->len);
		b->off = 0;
	}
	if (b->len + n > b->size) {
		size_t size = b->len + n > 2 * b->size ? b->len + n : 2 * b->size;
		char *grown = realloc(b->data, size);

		if (!grown)
			return -ENOMEM;
		b->data = grown;
		b->size = size;
	}
	memcpy(b->data + b->off + b->len, data, n);
	b->len += n;
	return 0;
}

static void bytes_clear(struct rl_sim_bytes *b)
{
	free(b->data);
	memset(b, 0, sizeof *b);
}

static void bytes_take(struct rl_sim_bytes *b, char *out, size_t n)
{
	memcpy(out, b->data + b->off, n);
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		bytes_clear(b);
}

/* Options are remembered, and three of them matter. */

static struct rl_sim_opt *opt_find(struct rl_sim_sock *s, int level, int name)
{
	for (unsigned i = 0; i < s->opts_len; i++) {
		if (s->opts[i].level == level && s->opts[i].name == name)
			return &s->opts[i];
	}
	return NULL;
}

static int opt_int(struct rl_sim_sock *s, int name, int missing)
{
	const struct rl_sim_opt *o = opt_find(s, SOL_SOCKET, name);
	int value = missing;

	if (o && o->len >= sizeof value)
		memcpy(&value, o->value, sizeof value);
	return value;
}

static bool opt_aborts_on_close(struct rl_sim_sock *s)
{
	const struct rl_sim_opt *o = opt_find(s, SOL_SOCKET, SO_LINGER);
	struct linger l = {0, 0};

	if (o && o->len >= sizeof l)
		memcpy(&l, o->value, sizeof l);
	return l.l_onoff && l.l_linger == 0;
}

/* Descriptors. */

static struct rl_sim *sim_of(struct rl_os *os)
{
	return rl_container(os, struct rl_sim, os);
}

struct rl_sim_sock *rl_sim_net_find(struct rl_sim *sim, int fd)
{
	struct rl_sim_net *net = sim->net;
	struct rl_sim_sock *s;

	if (fd < FD_BASE || (unsigned)(fd - FD_BASE) >= net->slots_cap)
		return NULL;
	s = net->slots[fd - FD_BASE];
	return s && !s->closing ? s : NULL;
}

/* Give `s` the lowest free descriptor; the caller's reference becomes the descriptor's. */
static int fd_install(struct rl_sim_net *net, struct rl_sim_sock *s)
{
	unsigned i = net->lowest;

	while (i < net->slots_cap && net->slots[i])
		i++;
	if (i == RL_SIM_FDS_MAX)
		return -EMFILE;
	if (i == net->slots_cap) {
		unsigned cap = net->slots_cap ? 2 * net->slots_cap : 64;
		struct rl_sim_sock **slots = realloc(net->slots, cap * sizeof *slots);

		if (!slots)
			return -ENOMEM;
		memset(slots + net->slots_cap, 0, (cap - net->slots_cap) * sizeof *slots);
		net->slots = slots;
		net->slots_cap = cap;
	}
	net->slots[i] = s;
	net->lowest = i + 1;
	s->fd = FD_BASE + (int)i;
	return s->fd;
}

/* Sockets and their ends. */

void rl_sim_net_wake(struct rl_sim *sim, struct rl_sim_sock *s)
{
	for (struct rl_list *l = s->reqs.next; l != &s->reqs; l = l->next) {
		struct rl_sim_req *req = rl_container(l, struct rl_sim_req, on_sock);

		if (rl_sim_op_can_step(req))
			rl_sim_event_schedule(sim, &req->event);
	}
}

/* Let every CONNECT that waits for this listener look again. */
static void wake_connectors(struct rl_sim *sim, struct rl_sim_sock *s)
{
	for (struct rl_list *l = rl_list_pop(&s->connectors); l; l = rl_list_pop(&s->connectors)) {
		struct rl_sim_req *req = rl_container(l, struct rl_sim_req, on_listener);

		rl_sim_event_schedule(sim, &req->event);
	}
}

/* An RST arrives. What was queued stays readable, then the reader learns of it, once. */
static void sock_reset(struct rl_sim *sim, struct rl_sim_sock *s)
{
	if (s->reset)
		return;
	if (s->peer)
		s->peer->peer = NULL;
	s->peer = NULL;
	s->reset = true;
	s->reset_told = s->fin_in;
	s->error = s->fin_in ? EPIPE : ECONNRESET;
	rl_sim_net_wake(sim, s);
}

void rl_sim_net_break(struct rl_sim *sim, struct rl_sim_sock *s)
{
	struct rl_sim_sock *peer = s->peer;

	bytes_clear(&s->in);
	s->fin_in = false;
	sock_reset(sim, s);
	if (peer)
		sock_reset(sim, peer);
}

static int rst_fire(struct rl_sim *sim, struct rl_sim_event *e)
{
	sock_reset(sim, rl_container(e, struct rl_sim_sock, rst));
	return 0;
}

static void sock_free(struct rl_sim *sim, struct rl_sim_sock *s)
{
	if (s->bound)
		sim->net->ports[rl_sim_addr_port(&s->local)]--;
	rl_sim_event_term(sim, &s->rst);
	rl_list_remove(&s->all);
	bytes_clear(&s->in);
	free(s);
}

static struct rl_sim_sock *sock_new(struct rl_sim *sim, int family)
{
	struct rl_sim_sock *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	if (rl_sim_event_init(sim, &s->rst, rst_fire) < 0) {
		free(s);
		return NULL;
	}
	s->refs = 1;
	s->fd = -1;
	s->local.sa.sa_family = (sa_family_t)family;
	rl_list_init(&s->reqs);
	rl_list_init(&s->child);
	rl_list_init(&s->backlog);
	rl_list_init(&s->connectors);
	rl_list_push(&sim->net->socks, &s->all);
	return s;
}

/* Tell the peer: RST when bytes remain unread or the closer asked for it, else FIN. */
static void say_goodbye(struct rl_sim *sim, struct rl_sim_sock *s)
{
	struct rl_sim_sock *peer = s->peer;

	if (!peer)
		return;
	s->peer = peer->peer = NULL;
	if (s->in.len > 0 || s->abort || opt_aborts_on_close(s)) {
		sock_reset(sim, peer);
		return;
	}
	peer->fin_in = true;
	rl_sim_net_wake(sim, peer);
}

static void stop_listening(struct rl_sim *sim, struct rl_sim_sock *s)
{
	s->listening = false;
	for (struct rl_list *l = rl_list_pop(&s->backlog); l; l = rl_list_pop(&s->backlog)) {
		struct rl_sim_sock *child = rl_container(l, struct rl_sim_sock, child);

		child->abort = true;
		say_goodbye(sim, child);
		sock_free(sim, child);
	}
	s->backlog_len = 0;
	wake_connectors(sim, s);
}

void rl_sim_net_put(struct rl_sim *sim, struct rl_sim_sock *s)
{
	RL_ASSERT(s->refs > 0);
	if (--s->refs > 0)
		return;
	stop_listening(sim, s);
	say_goodbye(sim, s);
	sock_free(sim, s);
}

/* The descriptor may be reused at once; the socket lives on while ops are in flight on it. */
void rl_sim_net_close_fd(struct rl_sim *sim, struct rl_sim_sock *s)
{
	unsigned i = (unsigned)(s->fd - FD_BASE);

	RL_ASSERT(sim->net->slots[i] == s);
	sim->net->slots[i] = NULL;
	if (i < sim->net->lowest)
		sim->net->lowest = i;
	s->fd = -1;
	rl_sim_net_put(sim, s);
}

/* Ports. */

static int port_choose(struct rl_sim_net *net)
{
	for (unsigned tries = 0; tries < PORTS - EPHEMERAL_MIN; tries++) {
		unsigned port = net->next_port;

		net->next_port = port + 1 < PORTS ? port + 1 : EPHEMERAL_MIN;
		if (net->ports[port] == 0)
			return (int)port;
	}
	return -EADDRNOTAVAIL;
}

/* As in Linux: sharing needs the same permission on both sides, SO_REUSEADDR none that listens. */
static bool port_conflicts(struct rl_sim_net *net, struct rl_sim_sock *s,
	const union rl_sim_addr *a)
{
	for (struct rl_list *l = net->socks.next; l != &net->socks; l = l->next) {
		struct rl_sim_sock *o = rl_container(l, struct rl_sim_sock, all);

		if (o == s || !o->bound || !rl_sim_addr_overlaps(&o->local, a))
			continue;
		if (a->sa.sa_family == AF_UNIX && !o->connected)
			return true;
		if (opt_int(s, SO_REUSEPORT, 0) && opt_int(o, SO_REUSEPORT, 0))
			continue;
		if (opt_int(s, SO_REUSEADDR, 0) && opt_int(o, SO_REUSEADDR, 0) && !o->listening)
			continue;
		return true;
	}
	return false;
}

static int sock_bind(struct rl_sim_net *net, struct rl_sim_sock *s, union rl_sim_addr a)
{
	if (rl_sim_addr_port(&a) == 0 && a.sa.sa_family != AF_UNIX) {
		int port = port_choose(net);

		if (port < 0)
			return port;
		rl_sim_addr_set_port(&a, (unsigned)port);
	} else if (net->ports[rl_sim_addr_port(&a)] > 0 && port_conflicts(net, s, &a)) {
		return -EADDRINUSE;
	}
	s->local = a;
	s->bound = true;
	net->ports[rl_sim_addr_port(&a)]++;
	return 0;
}

/* One of the listeners that `to` reaches, by seeded choice when SO_REUSEPORT made several. */
static struct rl_sim_sock *listener_find(struct rl_sim *sim, const union rl_sim_addr *to)
{
	struct rl_list *socks = &sim->net->socks;
	struct rl_sim_sock *found = NULL;
	unsigned n = 0;

	if (sim->net->ports[rl_sim_addr_port(to)] == 0)
		return NULL;
	for (struct rl_list *l = socks->next; l != socks; l = l->next) {
		struct rl_sim_sock *s = rl_container(l, struct rl_sim_sock, all);

		if (!s->listening || !rl_sim_addr_overlaps(&s->local, to))
			continue;
		if (n++ == 0 || rl_rand_below(&sim->order, n) == 0)
			found = s;
	}
	return found;
}

/* Connections: what ops do to them. */

static int buf_limit(struct rl_sim_sock *s, int name)
{
	int limit = opt_int(s, name, SOCKBUF);

	return limit > 0 ? limit : 1;
}

/* A peer that is gone takes any number of bytes, and answers with RST. */
size_t rl_sim_net_space(struct rl_sim_sock *s)
{
	int sndbuf, rcvbuf;
	size_t cap;

	if (!s->peer)
		return SIZE_MAX;
	sndbuf = buf_limit(s, SO_SNDBUF);
	rcvbuf = buf_limit(s->peer, SO_RCVBUF);
	cap = (size_t)(sndbuf < rcvbuf ? sndbuf : rcvbuf);
	return cap > s->peer->in.len ? cap - s->peer->in.len : 0;
}

int rl_sim_net_write(struct rl_sim *sim, struct rl_sim_sock *s, const char *data, size_t n)
{
	int rc;

	if (n == 0)
		return 0;
	if (!s->peer) {
		rl_sim_event_schedule(sim, &s->rst);
		return 0;
	}
	rc = bytes_append(&s->peer->in, data, n);
	if (rc == 0)
		rl_sim_net_wake(sim, s->peer);
	return rc;
}

void rl_sim_net_read(struct rl_sim *sim, struct rl_sim_sock *s, char *out, size_t n)
{
	bytes_take(&s->in, out, n);
	if (s->peer)
		rl_sim_net_wake(sim, s->peer);
}

int rl_sim_net_accept(struct rl_sim *sim, struct rl_sim_sock *s)
{
	struct rl_sim_sock *child = rl_container(s->backlog.next, struct rl_sim_sock, child);
	int fd = fd_install(sim->net, child);

	if (fd < 0)
		return fd;
	rl_list_remove(&child->child);
	s->backlog_len--;
	wake_connectors(sim, s);
	return fd;
}

/* Create the other end and queue it on the listener. */
static int establish(struct rl_sim *sim, struct rl_sim_sock *s, struct rl_sim_sock *l,
	const union rl_sim_addr *to)
{
	struct rl_sim_sock *child = sock_new(sim, to->sa.sa_family);

	if (!child)
		return -ENOMEM;
	memcpy(child->opts, l->opts, sizeof l->opts);
	child->opts_len = l->opts_len;
	child->local = s->remote = *to;
	child->remote = s->local;
	child->bound = true;
	sim->net->ports[rl_sim_addr_port(to)]++;
	child->connected = s->connected = true;
	child->peer = s;
	s->peer = child;
	rl_list_push(&l->backlog, &child->child);
	l->backlog_len++;
	rl_sim_net_wake(sim, l);
	return 0;
}

/* Unless bound already, or a Unix socket, `s` gets a port and the address it connects to, both
 * being this host. */
static int bind_to_reach(struct rl_sim *sim, struct rl_sim_sock *s, const union rl_sim_addr *to)
{
	union rl_sim_addr from = *to;

	if (to->sa.sa_family == AF_UNIX)
		return 0;
	rl_sim_addr_set_port(&from, s->bound ? rl_sim_addr_port(&s->local) : 0);
	if (!s->bound)
		return sock_bind(sim->net, s, from);
	if (rl_sim_addr_is_any(&s->local))
		s->local = from;
	return 0;
}

int rl_sim_net_connect(struct rl_sim *sim, struct rl_sim_sock *s, const struct sockaddr *addr,
	socklen_t len, struct rl_sim_sock **full)
{
	struct rl_sim_sock *l;
	union rl_sim_addr to;
	int rc = rl_sim_addr_load(&to, s->local.sa.sa_family, addr, len);

	if (rc < 0)
		return rc;
	if (s->connected || s->listening)
		return -EISCONN;
	rl_sim_addr_resolve_any(&to);
	l = listener_find(sim, &to);
	if (!l)
		return to.sa.sa_family == AF_UNIX && to.un.sun_path[0] ? -ENOENT : -ECONNREFUSED;
	if (l->backlog_len >= l->backlog_max) {
		*full = l;
		return -EAGAIN;
	}
	rc = bind_to_reach(sim, s, &to);
	return rc < 0 ? rc : establish(sim, s, l, &to);
}

int rl_sim_net_shutdown(struct rl_sim *sim, struct rl_sim_sock *s, int how)
{
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (s->listening) {
		if (how != SHUT_WR)
			stop_listening(sim, s);
		return 0;
	}
	if (!s->connected || s->reset)
		return -ENOTCONN;
	if (how != SHUT_WR)
		s->read_shut = true;
	if (how != SHUT_RD)
		s->fin_out = true;
	if (s->fin_out && s->peer) {
		s->peer->fin_in = true;
		rl_sim_net_wake(sim, s->peer);
	}
	return 0;
}

/* The socket calls. */

int rl_sim_net_socket(struct rl_os *os, int family, int type)
{
	struct rl_sim *sim = sim_of(os);
	struct rl_sim_sock *s;
	int fd;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM)
		return -ESOCKTNOSUPPORT;
	s = sock_new(sim, family);
	if (!s)
		return -ENOMEM;
	fd = fd_install(sim->net, s);
	if (fd < 0)
		sock_free(sim, s);
	return fd;
}

int rl_sim_net_bind(struct rl_os *os, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct rl_sim_sock *s = rl_sim_net_find(sim_of(os), fd);
	union rl_sim_addr a;
	int rc;

	if (!s)
		return -EBADF;
	if (s->bound || s->connected)
		return -EINVAL;
	rc = rl_sim_addr_load(&a, s->local.sa.sa_family, addr, len);
	return rc < 0 ? rc : sock_bind(sim_of(os)->net, s, a);
}

int rl_sim_net_listen(struct rl_os *os, int fd, int backlog)
{
	struct rl_sim *sim = sim_of(os);
	struct rl_sim_sock *s = rl_sim_net_find(sim, fd);
	int rc = 0;

	if (!s)
		return -EBADF;
	if (s->connected)
		return -EINVAL;
	if (!s->bound)
		rc = sock_bind(sim->net, s, s->local);
	else if (!s->listening && port_conflicts(sim->net, s, &s->local))
		rc = -EADDRINUSE;
	if (rc < 0)
		return rc;
	if (backlog < 0 || backlog > BACKLOG_MAX)
		backlog = BACKLOG_MAX;
	s->backlog_max = backlog > 0 ? (unsigned)backlog : 1;
	s->listening = true;
	wake_connectors(sim, s);
	return 0;
}

int rl_sim_net_setsockopt(struct rl_os *os, int fd, int level, int name, const void *v, socklen_t n)
{
	struct rl_sim_sock *s = rl_sim_net_find(sim_of(os), fd);
	struct rl_sim_opt *o;

	if (!s)
		return -EBADF;
	if (n > RL_SIM_OPT_SIZE_MAX || (n == 0 && level == SOL_SOCKET))
		return -EINVAL;
	o = opt_find(s, level, name);
	if (!o && s->opts_len == RL_SIM_OPTS_MAX)
		return -ENOBUFS;
	if (!o)
		o = &s->opts[s->opts_len++];
	*o = (struct rl_sim_opt){.level = level, .name = name, .len = n};
	if (n)
		memcpy(o->value, v, n);
	return 0;
}

/* An option that was never set is a zero int. */
static int opt_missing(struct rl_sim_sock *s, int level, int name)
{
	int value = 0;

	if (level != SOL_SOCKET)
		return 0;
	if (name == SO_ERROR) {
		value = s->error;
		s->error = 0;
	} else if (name == SO_SNDBUF || name == SO_RCVBUF) {
		value = SOCKBUF;
	} else if (name == SO_TYPE) {
		value = SOCK_STREAM;
	} else if (name == SO_ACCEPTCONN) {
		value = s->listening;
	}
	return value;
}

/* Of a listener alone, and only how many connections it has not accepted. */
static void get_tcp_info(const struct rl_sim_sock *s, void *v, socklen_t *n)
{
	struct tcp_info info = {.tcpi_unacked = s->backlog_len};
	if (*n > sizeof info)
		*n = sizeof info;
	memcpy(v, &info, *n);
}

/* The peer is this process. */
static void get_peercred(void *v, socklen_t *n)
{
	struct ucred cred = {.pid = getpid(), .uid = geteuid(), .gid = getegid()};
	if (*n > sizeof cred)
		*n = sizeof cred;
	memcpy(v, &cred, *n);
}

int rl_sim_net_getsockopt(struct rl_os *os, int fd, int level, int name, void *v, socklen_t *n)
{
	struct rl_sim_sock *s = rl_sim_net_find(sim_of(os), fd);
	const struct rl_sim_opt *o;
	socklen_t len = sizeof(int);
	int value;

	if (!s)
		return -EBADF;
	if (level == IPPROTO_TCP && name == TCP_INFO) {
		get_tcp_info(s, v, n);
		return 0;
	}
	if (level == SOL_SOCKET && name == SO_PEERCRED && s->local.sa.sa_family == AF_UNIX) {
		get_peercred(v, n);
		return s->connected ? 0 : -ENOTCONN;
	}
	o = opt_find(s, level, name);
	value = o ? 0 : opt_missing(s, level, name);
	if (o)
		len = o->len;
	if (len > *n)
		len = *n;
	memcpy(v, o ? (const void *)o->value : &value, len);
	*n = len;
	return 0;
}

int rl_sim_net_getsockname(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct rl_sim_sock *s = rl_sim_net_find(sim_of(os), fd);

	if (!s)
		return -EBADF;
	rl_sim_addr_store(&s->local, addr, len);
	return 0;
}

int rl_sim_net_getpeername(struct rl_os *os, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct rl_sim_sock *s = rl_sim_net_find(sim_of(os), fd);

	if (!s)
		return -EBADF;
	if (!s->connected || s->reset)
		return -ENOTCONN;
	rl_sim_addr_store(&s->remote, addr, len);
	return 0;
}

void rl_sim_net_close_now(struct rl_os *os, int fd)
{
	struct rl_sim_sock *s = rl_sim_net_find(sim_of(os), fd);

	if (s)
		rl_sim_net_close_fd(sim_of(os), s);
}

int rl_sim_net_open(struct rl_sim *sim)
{
	sim->net = calloc(1, sizeof *sim->net);
	if (!sim->net)
		return -ENOMEM;
	rl_list_init(&sim->net->socks);
	sim->net->next_port = EPHEMERAL_MIN;
	return 0;
}

void rl_sim_net_close(struct rl_sim *sim)
{
	if (!sim->net)
		return;
	while (!rl_list_empty(&sim->net->socks))
		sock_free(sim, rl_container(sim->net->socks.next, struct rl_sim_sock, all));
	free(sim->net->slots);
	free(sim->net);
	sim->net = NULL;
}
