/* SPDX-License-Identifier: MIT */
/*
 * resolve: see resolve.h.
 *
 * Invariant: until `done` the record belongs to the helper thread as well, which writes err, n and
 * addrs and nothing else; it is freed when it is neither the thread's nor the owner's.
 */
#include "rt/resolve.h"

#include "base/check.h"
#include "base/err.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int resolve_error(int eai, int saved_errno)
{
	switch (eai) {
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return saved_errno ? -saved_errno : -EIO;
	default:
		return -ENOENT;
	}
}

/* On a helper thread. */
static void resolve_run(struct rl_work *w)
{
	struct rl_resolve *r = rl_container(w, struct rl_resolve, work);
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char port[8];
	snprintf(port, sizeof port, "%u", r->port);
	hints.ai_flags = AI_NUMERICSERV | (r->passive ? AI_PASSIVE : 0);
	int eai = getaddrinfo(r->host, port, &hints, &list);
	r->err = eai ? resolve_error(eai, errno) : 0;
	for (struct addrinfo *a = list; a && r->n < RL_RESOLVE_MAX; a = a->ai_next)
		if (rl_addr_load(&r->addrs[r->n], a->ai_addr, a->ai_addrlen) == 0)
			r->n++;
	if (list)
		freeaddrinfo(list);
	if (!r->err && r->n == 0)
		r->err = -ENOENT;
	rl_addr_interleave(r->addrs, r->n);
}

static void resolve_free(struct rl_resolve *r)
{
	rl_list_remove(&r->item.link);
	free(r);
}

static void resolve_done(struct rl_work *w)
{
	struct rl_resolve *r = rl_container(w, struct rl_resolve, work);
	r->done = true;
	if (!r->handle)
		resolve_free(r);
	else if (!r->net->stopping)
		rl_waitq_wake(r->net->shard, &r->waiters, 0, true);
}

void rl_resolve_disown(struct rl_resolve *r)
{
	r->handle = NULL;
	if (r->done)
		resolve_free(r);
}

/* The helper thread cannot be told to stop. */
static void item_stop(struct rl_net_item *item)
{
	(void)item;
}

static void item_drop(struct rl_net_item *item, bool keep)
{
	struct rl_resolve *r = rl_container(item, struct rl_resolve, item);
	while (rl_list_pop(&r->waiters.waiters))
		continue;
	if (r->handle)
		*r->handle = NULL;
	if (!keep)
		resolve_free(r);
}

int rl_resolve_open(struct rl_net *net, const char *host, uint16_t port, bool passive,
	struct rl_resolve **handle)
{
	struct rl_resolve *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->net = net;
	r->handle = handle;
	r->port = port;
	r->passive = passive;
	r->work.fn = resolve_run;
	r->work.done = resolve_done;
	r->item.stop = item_stop;
	r->item.drop = item_drop;
	rl_list_init(&r->work.link);
	rl_list_init(&r->item.link);
	rl_waitq_init(&r->waiters);
	snprintf(r->host, sizeof r->host, "%s", host);
	int err = net->os->ops->offload(net->os, &r->work);
	if (err < 0) {
		free(r);
		return err;
	}
	rl_net_add(net, &r->item);
	*handle = r;
	return 0;
}
