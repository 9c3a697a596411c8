/* SPDX-License-Identifier: MIT */
/*
 * sim_addr: the addresses of the sim's sockets. Pure functions; an address is a host and a port, of
 * a Unix socket its path without a port, and a family never reaches another. Paths are names in
 * memory: no file is made.
 */
#ifndef RL_OS_SIM_ADDR_H
#define RL_OS_SIM_ADDR_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

union rl_sim_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

#define RL_SIM_ADDR_PATH offsetof(struct sockaddr_un, sun_path)

/* The shortest that the family has. */
static inline socklen_t rl_sim_addr_need(int family)
{
	if (family == AF_UNIX)
		return RL_SIM_ADDR_PATH + 2;
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static inline int rl_sim_addr_load(union rl_sim_addr *out, int family, const struct sockaddr *sa,
	socklen_t len)
{
	socklen_t need = rl_sim_addr_need(family);

	if (len < sizeof sa->sa_family || len < need || len > sizeof *out)
		return -EINVAL;
	if (sa->sa_family != family)
		return -EAFNOSUPPORT;
	memset(out, 0, sizeof *out);
	memcpy(out, sa, family == AF_UNIX ? len : need);
	return 0;
}

/* A name of the abstract name space has no final 0, and here none within. */
static inline socklen_t rl_sim_addr_len(const union rl_sim_addr *a)
{
	const char *path = a->un.sun_path;

	if (a->sa.sa_family != AF_UNIX)
		return rl_sim_addr_need(a->sa.sa_family);
	if (path[0])
		return (socklen_t)(RL_SIM_ADDR_PATH + strnlen(path, sizeof a->un.sun_path - 1) + 1);
	if (!path[1])
		return RL_SIM_ADDR_PATH;
	return (socklen_t)(RL_SIM_ADDR_PATH + 1 + strnlen(path + 1, sizeof a->un.sun_path - 1));
}

static inline void rl_sim_addr_store(const union rl_sim_addr *a, struct sockaddr *sa,
	socklen_t *len)
{
	socklen_t size = rl_sim_addr_len(a);

	memcpy(sa, a, *len < size ? *len : size);
	*len = size;
}

static inline unsigned rl_sim_addr_port(const union rl_sim_addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		return 0;
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

static inline void rl_sim_addr_set_port(union rl_sim_addr *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons((uint16_t)port);
	else if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
}

static inline bool rl_sim_addr_is_any(const union rl_sim_addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		return false;
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
	if (a->sa.sa_family == AF_UNIX)
		return memcmp(a->un.sun_path, b->un.sun_path, sizeof a->un.sun_path) == 0;
	if (rl_sim_addr_is_any(a) || rl_sim_addr_is_any(b))
		return true;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

#endif
