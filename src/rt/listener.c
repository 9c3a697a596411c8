/* SPDX-License-Identifier: MIT */
/*
 * listener: see listener.h.
 *
 * Invariants: `op` is an accept until `gone` and the close from then on; a closed listener has an
 * empty queue; `dead` means no operation is in flight. An inlet is `gone` from the beginning.
 *
 * Finishing: no accept is in flight when the kernel's queue is looked at, and the socket is closed
 * at once when that is empty. A handshake that ends between the two is lost, as are those that have
 * not ended: nothing but closing keeps the kernel from taking more. Of Unix sockets the kernel does
 * not say what is queued: that is what no accept has taken because of a limit.
 */
#include "rt/listener.h"

#include "base/check.h"
#include "base/err.h"
#include "rt/measure.h"

#include <netinet/tcp.h>
#include <stdlib.h>

#ifdef RL_TINY
#define QUEUE_MAX 2
#else
#define QUEUE_MAX 128   /* accepted and not asked for: from there on none are accepted until half */
#endif
#define BACKLOG 1024
#define RETRY_NS 50000000LL

static void accept_done(struct rl_op *op, int res, uint32_t flags);

static void accept_start(struct rl_listener *l)
{
	if (l->op.in_flight || l->gone || l->paused || l->err || rl_alarm_is_set(&l->retry))
		return;
	if (l->closed || l->len >= QUEUE_MAX)
		return;
	l->op.kind = RL_OP_ACCEPT;
	l->op.done = accept_done;
	l->err = rl_os_submit(l->net->os, &l->op);
}

static void accept_stop(struct rl_listener *l)
{
	if (!l->op.in_flight || l->cancelled || l->gone)
		return;
	l->cancelled = true;
	rl_os_cancel(l->net->os, &l->op);
}

/* Others may look how many wait in the kernel's queue; of sockets in memory they cannot. */
static void publish(struct rl_listener *l, bool on)
{
	if (!l->net->os->closed_world)
		rl_measure_listens(l->net->shard->measure, l->op.fd, on);
}

/* Nobody else can find it from now on. */
static void remove_file(struct rl_listener *l)
{
	if (!l->file)
		return;
	rl_sockfile_remove(l->file);
	free(l->file);
	l->file = NULL;
}

/* Connections that wait in the kernel to be accepted: tcp_get_info(), of a listening socket. */
static unsigned kernel_queue_len(struct rl_listener *l)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof info;
	struct rl_os *os = l->net->os;
	int err = os->ops->getsockopt(os, l->op.fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return err < 0 ? 0 : info.tcpi_unacked;
}

/* Synchronous, so that the queue just seen empty has little time to get an entry. */
static void close_socket(struct rl_listener *l)
{
	l->gone = true;
	--*l->net->handles;
	rl_alarm_stop(l->net->shard, &l->retry);
	remove_file(l);
	publish(l, false);
	l->net->os->ops->close_now(l->net->os, l->op.fd);
	if (!l->net->stopping)
		rl_waitq_wake(l->net->shard, &l->acceptors, 0, true);
}

/* While it is finishing: accept what is queued, then no more. */
static void go_on(struct rl_listener *l)
{
	if (!l->finishing || l->err)
		accept_start(l);
	else if (l->op.in_flight || l->gone || l->closed)
		return;
	else if (!l->leaving && kernel_queue_len(l) > 0)
		accept_start(l);
	else
		close_socket(l);
}

static void retry(struct rl_alarm *a)
{
	go_on(rl_container(a, struct rl_listener, retry));
}

static int queue_grow(struct rl_listener *l)
{
	unsigned size = l->size ? 2 * l->size : 16;
	int *queue = malloc(size * sizeof *queue);
	if (!queue)
		return -ENOMEM;
	for (unsigned i = 0; i < l->len; i++)
		queue[i] = l->queue[(l->head + i) % l->size];
	free(l->queue);
	l->queue = queue;
	l->head = 0;
	l->size = size;
	return 0;
}

/* Without memory for the queue the connection is refused. */
static void queue_push(struct rl_listener *l, int fd)
{
	if (l->closed || (l->len == l->size && queue_grow(l) < 0)) {
		l->net->os->ops->close_now(l->net->os, fd);
		return;
	}
	l->queue[(l->head + l->len++) % l->size] = fd;
	l->accepted++;
	if (l->len >= QUEUE_MAX)
		accept_stop(l);
}

static int queue_pop(struct rl_listener *l)
{
	int fd = l->queue[l->head];
	l->head = (l->head + 1) % l->size;
	l->len--;
	return fd;
}

/* accept(2): errors of the new connection, or of the network, are no errors of the listener. */
static void accept_failed(struct rl_listener *l, int err)
{
	switch (-err) {
	case ECANCELED: case EINTR: case EAGAIN: case ECONNABORTED: case EPROTO: case ENETDOWN:
	case ENOPROTOOPT: case EHOSTDOWN: case ENONET: case EHOSTUNREACH: case EOPNOTSUPP:
	case ENETUNREACH: case EPERM:
		return;
	case EMFILE: case ENFILE: case ENOBUFS: case ENOMEM:
		l->shortages++;
		l->shortage = err;
		if (!l->closed)
			rl_alarm_set(l->net->shard, &l->retry, l->net->shard->now_ns + RETRY_NS);
		return;
	default:
		l->err = err;
	}
}

static void settle(struct rl_listener *l);

static void accept_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_listener *l = rl_container(op, struct rl_listener, op);
	if (res >= 0)
		queue_push(l, res);
	else
		accept_failed(l, res);
	if (!(flags & RL_DONE_MORE)) {
		l->cancelled = false;
		go_on(l);
	} else if (l->finishing) {
		accept_stop(l);
	}
	if ((l->len > 0 || l->err) && !l->net->stopping)
		rl_waitq_wake(l->net->shard, &l->acceptors, 0, l->err != 0);
	settle(l);
}

static void close_done(struct rl_op *op, int res, uint32_t flags)
{
	(void)res;
	(void)flags;
	settle(rl_container(op, struct rl_listener, op));
}

static void close_start(struct rl_listener *l)
{
	struct rl_os *os = l->net->os;
	l->gone = true;
	--*l->net->handles;
	publish(l, false);
	l->op.kind = RL_OP_CLOSE;
	l->op.done = close_done;
	if (rl_os_submit(os, &l->op) < 0)
		os->ops->close_now(os, l->op.fd);
}

static void listener_free(struct rl_listener *l)
{
	rl_list_remove(&l->item.link);
	free(l->queue);
	free(l);
}

/* A closed listener goes on ending. */
static void settle(struct rl_listener *l)
{
	if (!l->closed || l->op.in_flight || l->dead)
		return;
	if (!l->gone)
		close_start(l);
	if (l->op.in_flight)
		return;
	l->dead = true;
	if (!l->net->stopping)
		rl_waitq_wake(l->net->shard, &l->acceptors, 0, true);
	if (!l->handle)
		listener_free(l);
}

static void drop_queue(struct rl_listener *l)
{
	while (l->len > 0)
		l->net->os->ops->close_now(l->net->os, queue_pop(l));
}

void rl_listener_close(struct rl_listener *l)
{
	if (l->closed)
		return;
	l->closed = true;
	rl_alarm_stop(l->net->shard, &l->retry);
	remove_file(l);
	accept_stop(l);
	drop_queue(l);
	if (l->holds)
		l->net->shard->holds--;
	l->holds = false;
	if (!l->net->stopping)
		rl_waitq_wake(l->net->shard, &l->acceptors, 0, true);
	settle(l);
}

void rl_listener_disown(struct rl_listener *l)
{
	l->handle = NULL;
	if (l->dead)
		listener_free(l);
	else
		rl_listener_close(l);
}

int rl_listener_accept(struct rl_listener *l)
{
	if (l->closed)
		return -RL_ECLOSED;
	if (l->len == 0) {
		go_on(l);
		if (l->finishing && l->gone)
			return -RL_ECLOSED;
		return l->err ? l->err : -EAGAIN;
	}
	int fd = queue_pop(l);
	if (l->len <= QUEUE_MAX / 2)
		go_on(l);
	return fd;
}

void rl_listener_pause(struct rl_listener *l, bool paused)
{
	l->paused = paused;
	if (paused)
		accept_stop(l);
	else
		go_on(l);
}

void rl_listener_finish(struct rl_listener *l)
{
	if (l->finishing || l->closed)
		return;
	l->finishing = true;
	accept_stop(l);
	go_on(l);
	if (l->gone)
		rl_waitq_wake(l->net->shard, &l->acceptors, 0, true);
}

void rl_listener_leave(struct rl_listener *l)
{
	l->leaving = true;
	rl_listener_finish(l);
}

void rl_listener_feed(struct rl_listener *l, int fd)
{
	queue_push(l, fd);
	if (l->len > 0 && !l->net->stopping)
		rl_waitq_wake(l->net->shard, &l->acceptors, 0, false);
}

void rl_listener_hold(struct rl_listener *l)
{
	if (l->holds || l->closed)
		return;
	l->holds = true;
	l->net->shard->holds++;
}

int rl_listener_addr(struct rl_listener *l, struct rl_addr *out)
{
	struct rl_os *os = l->net->os;
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	if (l->closed || l->gone)
		return -RL_ECLOSED;
	int err = os->ops->getsockname(os, l->op.fd, (struct sockaddr *)&ss, &len);
	return err < 0 ? err : rl_addr_load(out, (struct sockaddr *)&ss, len);
}

/* End of the run. */

static void item_stop(struct rl_net_item *item)
{
	struct rl_listener *l = rl_container(item, struct rl_listener, item);
	rl_alarm_stop(l->net->shard, &l->retry);
	remove_file(l);
	drop_queue(l);
	if (l->holds)
		l->net->shard->holds--;
	l->holds = false;
	l->closed = true;
	if (l->gone)
		return;
	l->gone = true;
	--*l->net->handles;
	publish(l, false);
	l->net->os->ops->close_now(l->net->os, l->op.fd);
}

static void item_drop(struct rl_net_item *item, bool keep)
{
	struct rl_listener *l = rl_container(item, struct rl_listener, item);
	while (rl_list_pop(&l->acceptors.waiters))
		continue;
	if (l->handle)
		*l->handle = NULL;
	if (!keep)
		listener_free(l);
}

/* Options a connection inherits are set here once. */
static int set_options(struct rl_os *os, int fd, const struct rl_addr *addr,
	const struct rl_listener_config *config)
{
	int on = 1, v6only = config->v6only;
	if (addr->sa.sa_family == AF_UNIX)
		return os->closed_world ? 0 : rl_sockfile_mode(fd, config->mode);
	int err = os->ops->setsockopt(os, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (err == 0 && config->reuseport)
		err = os->ops->setsockopt(os, fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (err == 0 && addr->sa.sa_family == AF_INET6)
		err = os->ops->setsockopt(os, fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
	if (err == 0)
		err = os->ops->setsockopt(os, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return err;
}

/* A socket in memory makes no file. */
static int note_file(struct rl_os *os, const struct rl_addr *addr, struct rl_sockfile **file)
{
	const char *path = rl_addr_path(addr);
	if (!path || os->closed_world)
		return 0;
	*file = malloc(sizeof **file);
	return *file ? rl_sockfile_note(*file, path) : -ENOMEM;
}

static int open_socket(struct rl_os *os, const struct rl_addr *addr,
	const struct rl_listener_config *config, struct rl_sockfile **file)
{
	int fd = os->ops->socket(os, addr->sa.sa_family, SOCK_STREAM);
	if (fd < 0)
		return fd;
	int err = set_options(os, fd, addr, config);
	if (err == 0)
		err = os->ops->bind(os, fd, &addr->sa, addr->len);
	if (err == 0)
		err = note_file(os, addr, file);
	if (err == 0)
		err = os->ops->listen(os, fd, config->backlog > 0 ? config->backlog : BACKLOG);
	if (err == 0)
		return fd;
	os->ops->close_now(os, fd);
	return err;
}

static struct rl_listener *listener_new(struct rl_net *net)
{
	struct rl_listener *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->net = net;
	l->op.fd = -1;
	l->item.stop = item_stop;
	l->item.drop = item_drop;
	rl_list_init(&l->op.link);
	rl_list_init(&l->item.link);
	rl_waitq_init(&l->acceptors);
	rl_alarm_init(&l->retry, retry);
	return l;
}

static void give(struct rl_listener *l, struct rl_listener **handle)
{
	l->handle = handle;
	*handle = l;
	rl_net_add(l->net, &l->item);
}

int rl_listener_open(struct rl_net *net, const struct rl_addr *addr,
	const struct rl_listener_config *config, struct rl_listener **handle)
{
	struct rl_listener *l = listener_new(net);
	if (!l)
		return -ENOMEM;
	l->op.fd = open_socket(net->os, addr, config, &l->file);
	if (l->op.fd < 0) {
		int err = l->op.fd;
		remove_file(l);
		free(l);
		return err;
	}
	++*net->handles;
	publish(l, true);
	give(l, handle);
	return 0;
}

int rl_listener_open_inlet(struct rl_net *net, struct rl_listener **handle)
{
	struct rl_listener *l = listener_new(net);
	if (!l)
		return -ENOMEM;
	l->gone = true;
	give(l, handle);
	return 0;
}
