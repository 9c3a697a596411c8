/* SPDX-License-Identifier: MIT */
/*
 * resolve: names to addresses with getaddrinfo, which blocks, so it runs on a helper thread. A
 * lookup that nobody wants any more goes on there and is forgotten when it ends.
 */
#ifndef RL_RT_RESOLVE_H
#define RL_RT_RESOLVE_H

#include "rt/addr.h"
#include "rt/net.h"
#include "rt/wait.h"

#define RL_RESOLVE_MAX 16

struct rl_resolve {
	struct rl_net_item item;
	struct rl_work work;
	struct rl_net *net;
	struct rl_resolve **handle;
	struct rl_waitq waiters;
	char host[RL_ADDR_HOST_MAX];
	uint16_t port;
	bool passive;              /* to listen on, not to connect to */
	bool done;
	int err;                   /* 0, -ENOENT (no such host), -EAGAIN (ask later), ... */
	unsigned n;
	struct rl_addr addrs[RL_RESOLVE_MAX];
};

/* Begin to look up `host`. 0 or an error. */
int rl_resolve_open(struct rl_net *net, const char *host, uint16_t port, bool passive,
	struct rl_resolve **handle);
void rl_resolve_disown(struct rl_resolve *r);

#endif
