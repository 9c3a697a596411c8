/* SPDX-License-Identifier: MIT */
/*
 * listener: accepting connections. One multishot accept, armed when first needed, feeds a queue of
 * descriptors; at the limit, or while paused, the accept is cancelled, and what it still delivers
 * waits in the queue. Owned and freed as streams are.
 *
 * An inlet is a listener without a socket: other shards feed it with what they accepted.
 *
 * The file of a Unix socket is there while it listens: closing removes it, unless another is there
 * by then. What listens no more may have left one: binding then fails with -EADDRINUSE.
 */
#ifndef RL_RT_LISTENER_H
#define RL_RT_LISTENER_H

#include "os/sockfile.h"
#include "rt/addr.h"
#include "rt/net.h"
#include "rt/wait.h"

struct rl_listener_config {
	int backlog;    /* 0: default */
	bool reuseport;
	bool v6only;
	unsigned mode;  /* of the file of a Unix socket */
};

struct rl_listener {
	struct rl_net_item item;
	struct rl_op op;             /* ACCEPT; at the end of its life CLOSE */
	struct rl_waitq acceptors;
	struct rl_net *net;
	struct rl_listener **handle;
	struct rl_alarm retry;       /* after a shortage of descriptors or memory */
	int *queue;                  /* a ring of accepted descriptors */
	unsigned head, len, size;
	int err;                     /* why nothing will be accepted any more */
	int shortage;                /* the last passing error */
	uint64_t accepted, shortages;
	struct rl_sockfile *file;    /* of a Unix socket; NULL: none */
	bool closed, paused, cancelled, finishing, leaving, gone, dead, holds;
};

/* Bind and listen; *out is the caller's by `handle` from then on. 0 or -errno. */
int rl_listener_open(struct rl_net *net, const struct rl_addr *addr,
	const struct rl_listener_config *config, struct rl_listener **handle);
int rl_listener_open_inlet(struct rl_net *net, struct rl_listener **handle);
/* Queue a connected descriptor, which the inlet owns from then on. */
void rl_listener_feed(struct rl_listener *l, int fd);
/* Refuse connections as soon as none is queued in the kernel. What was accepted by then can still
 * be taken; after that accepting fails with -RL_ECLOSED. An inlet ends when it is empty.
 * Idempotent. */
void rl_listener_finish(struct rl_listener *l);
/* The same at once: what is queued in the kernel is for others that listen there. */
void rl_listener_leave(struct rl_listener *l);
/* Idempotent. Connections are refused once l->dead, which wakes l->acceptors. */
void rl_listener_close(struct rl_listener *l);
void rl_listener_disown(struct rl_listener *l); /* close, free when possible */

/* A connected descriptor, or -EAGAIN (park on l->acceptors), -RL_ECLOSED, or an error. */
int rl_listener_accept(struct rl_listener *l);
/* Accept no more for now, or again. */
void rl_listener_pause(struct rl_listener *l, bool paused);
/* Keep run alive while the listener is open. */
void rl_listener_hold(struct rl_listener *l);
int rl_listener_addr(struct rl_listener *l, struct rl_addr *out);

#endif
