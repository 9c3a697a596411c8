/* SPDX-License-Identifier: MIT */
/*
 * dial: see dial.h.
 *
 * Invariants: `running` attempts have an op in flight and a descriptor, which their completion
 * makes the winner or closes; `over` is set once the outcome is known, and then no attempt begins.
 */
#include "rt/dial.h"

#include "base/check.h"
#include "base/err.h"
#include "os/sock.h"
#include "rt/fleet.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

static void attempt_done(struct rl_op *op, int res, uint32_t flags);

static void dial_finish(struct rl_dial *d)
{
	d->over = true;
	rl_alarm_stop(d->net->shard, &d->stagger);
	if (!d->net->stopping)
		rl_waitq_wake(d->net->shard, &d->waiters, 0, true);
}

/* A connect is handed to the kernel when the shard next enters it, and so by whatever task runs
 * then: what the kernel counts by task is told before. A failure costs that number alone. */
static void note_owner(struct rl_dial *d, int fd)
{
	struct rl_shard *s = d->net->shard;
	int map = s->fleet ? atomic_load_explicit(&s->fleet->notes_fd, memory_order_relaxed)
		: s->notes_fd;
	if (map < 0 || d->net->os->closed_world)
		return;
	struct rl_sock_note note = {.task = d->task, .shard = s->index + 1, .label = d->label};
	rl_sock_note(map, fd, &note);
}

static int attempt_start(struct rl_dial *d, struct rl_attempt *a)
{
	struct rl_os *os = d->net->os;
	int on = 1, fd = os->ops->socket(os, a->addr.sa.sa_family, SOCK_STREAM);
	if (fd < 0)
		return fd;
	if (a->addr.sa.sa_family != AF_UNIX)
		os->ops->setsockopt(os, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	note_owner(d, fd);
	a->op.kind = RL_OP_CONNECT;
	a->op.done = attempt_done;
	a->op.fd = fd;
	a->op.addr = &a->addr.sa;
	a->op.addr_len = a->addr.len;
	int err = rl_os_submit(os, &a->op);
	if (err < 0) {
		os->ops->close_now(os, fd);
		return err;
	}
	d->running++;
	++*d->net->handles;
	return 0;
}

static void note_failure(struct rl_dial *d, int err)
{
	if (!d->err && err != -ECANCELED)
		d->err = err;
}

/* Begin the next attempt that can be begun; without any left or running the dial has failed. */
static void dial_next(struct rl_dial *d)
{
	rl_alarm_stop(d->net->shard, &d->stagger);
	while (d->next < d->n) {
		int err = attempt_start(d, &d->attempts[d->next++]);
		if (err == 0)
			break;
		note_failure(d, err);
	}
	if (d->next < d->n)
		rl_alarm_set(d->net->shard, &d->stagger, d->net->shard->now_ns + RL_DIAL_STAGGER_NS);
	else if (d->running == 0)
		dial_finish(d);
}

static void stagger(struct rl_alarm *a)
{
	dial_next(rl_container(a, struct rl_dial, stagger));
}

static void cancel_attempts(struct rl_dial *d)
{
	for (unsigned i = 0; i < d->next; i++)
		if (d->attempts[i].op.in_flight)
			rl_os_cancel(d->net->os, &d->attempts[i].op);
}

static void dial_free(struct rl_dial *d)
{
	rl_list_remove(&d->item.link);
	free(d);
}

static void attempt_done(struct rl_op *op, int res, uint32_t flags)
{
	struct rl_attempt *a = rl_container(op, struct rl_attempt, op);
	struct rl_dial *d = a->dial;
	(void)flags;
	d->running--;
	if (!d->net->stopping)
		--*d->net->handles;
	if (res == 0 && !d->over) {
		d->fd = op->fd;
		cancel_attempts(d);
		dial_finish(d);
		return;
	}
	if (!d->net->stopping)
		d->net->os->ops->close_now(d->net->os, op->fd);
	note_failure(d, res);
	if (!d->over)
		dial_next(d);
	else if (d->running == 0 && !d->handle)
		dial_free(d);
}

int rl_dial_take(struct rl_dial *d)
{
	int fd = d->fd;
	if (!d->over)
		return -EAGAIN;
	if (fd < 0)
		return d->err ? d->err : -ECONNREFUSED;
	d->fd = -1;
	d->err = -RL_ECLOSED;
	return fd;
}

void rl_dial_disown(struct rl_dial *d)
{
	d->handle = NULL;
	d->over = true;
	rl_alarm_stop(d->net->shard, &d->stagger);
	if (d->fd >= 0)
		d->net->os->ops->close_now(d->net->os, d->fd);
	d->fd = -1;
	cancel_attempts(d);
	if (d->running == 0)
		dial_free(d);
}

/* Completions may come or not from here on, so the descriptors are closed at once. */
static void item_stop(struct rl_net_item *item)
{
	struct rl_dial *d = rl_container(item, struct rl_dial, item);
	struct rl_os *os = d->net->os;
	rl_alarm_stop(d->net->shard, &d->stagger);
	d->over = true;
	if (d->fd >= 0)
		os->ops->close_now(os, d->fd);
	d->fd = -1;
	*d->net->handles -= d->running;
	cancel_attempts(d);
	for (unsigned i = 0; i < d->next; i++)
		if (d->attempts[i].op.in_flight)
			os->ops->close_now(os, d->attempts[i].op.fd);
}

static void item_drop(struct rl_net_item *item, bool keep)
{
	struct rl_dial *d = rl_container(item, struct rl_dial, item);
	while (rl_list_pop(&d->waiters.waiters))
		continue;
	if (d->handle)
		*d->handle = NULL;
	if (!keep)
		dial_free(d);
}

int rl_dial_open(struct rl_net *net, const struct rl_addr *addrs, unsigned n,
	struct rl_dial **handle)
{
	struct rl_dial *d = calloc(1, sizeof *d + n * sizeof *d->attempts);
	if (!d)
		return -ENOMEM;
	d->net = net;
	d->n = n;
	d->fd = -1;
	d->handle = handle;
	d->task = net->shard->current ? net->shard->current->id : 0;
	d->label = net->shard->current ? net->shard->current->label : 0;
	d->item.stop = item_stop;
	d->item.drop = item_drop;
	rl_list_init(&d->item.link);
	rl_waitq_init(&d->waiters);
	rl_alarm_init(&d->stagger, stagger);
	for (unsigned i = 0; i < n; i++) {
		d->attempts[i].dial = d;
		d->attempts[i].addr = addrs[i];
		rl_list_init(&d->attempts[i].op.link);
	}
	rl_net_add(net, &d->item);
	*handle = d;
	dial_next(d);
	return 0;
}
