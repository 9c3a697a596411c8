/* SPDX-License-Identifier: MIT */
/*
 * sim_addr: the IPv4 and IPv6 addresses of the sim's sockets. Pure functions; an address is a host
 * and a port, and a family never reaches the other.
 */
#ifndef RL_OS_SIM_ADDR_H
#define RL_OS_SIM_ADDR_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

union rl_sim_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static inline int rl_sim_addr_load(union rl_sim_addr *out, int family, const struct sockaddr *sa,
	socklen_t len)
{
	socklen_t need = family == AF_INET ? sizeof out->in : sizeof out->in6;

	if (len < sizeof sa->sa_family || len < need)
		return -EINVAL;
	if (sa->sa_family != family)
		return -EAFNOSUPPORT;
	memset(out, 0, sizeof *out);
	memcpy(out, sa, need);
	return 0;
}

static inline void rl_sim_addr_store(const union rl_sim_addr *a, struct sockaddr *sa,
	socklen_t *len)
{
	socklen_t size = a->sa.sa_family == AF_INET ? sizeof a->in : sizeof a->in6;

	memcpy(sa, a, *len < size ? *len : size);
	*len = size;
}

static inline unsigned rl_sim_addr_port(const union rl_sim_addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

static inline void rl_sim_addr_set_port(union rl_sim_addr *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons((uint16_t)port);
	else
		a->in6.sin6_port = htons((uint16_t)port);
}

static inline bool rl_sim_addr_is_any(const union rl_sim_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* Connecting to the wildcard address means this host. */
static inline void rl_sim_addr_resolve_any(union rl_sim_addr *a)
{
	if (!rl_sim_addr_is_any(a))
		return;
	if (a->sa.sa_family == AF_INET)
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a->in6.sin6_addr = in6addr_loopback;
}

/* Could one address and port reach both? */
static inline bool rl_sim_addr_overlaps(const union rl_sim_addr *a, const union rl_sim_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || rl_sim_addr_port(a) != rl_sim_addr_port(b))
		return false;
	if (rl_sim_addr_is_any(a) || rl_sim_addr_is_any(b))
		return true;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

#endif
