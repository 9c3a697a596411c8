/* SPDX-License-Identifier: MIT */
/*
 * addr: TCP addresses as text, "127.0.0.1:80", "[::1]:80", "localhost:80" and ":80", and as the
 * kernel has them.
 */
#ifndef RL_RT_ADDR_H
#define RL_RT_ADDR_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RL_ADDR_HOST_MAX 256 /* with the final 0 */
#define RL_ADDR_TEXT_MAX 64
#define RL_ADDR_BYTES_MAX 16

struct rl_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* "host:port" apart; `host` has RL_ADDR_HOST_MAX bytes, and is "" for ":80". 0, or -EINVAL when the
 * text is no address. */
int rl_addr_split(const char *text, size_t len, char *host, uint16_t *port);

/* An address in numbers. 0, or -EINVAL when `host` is something else. */
int rl_addr_parse(struct rl_addr *out, const char *host, uint16_t port);

/* Copy what the kernel or the resolver gave; -EAFNOSUPPORT unless it is IPv4 or IPv6. */
int rl_addr_load(struct rl_addr *out, const struct sockaddr *sa, socklen_t len);

/* Write "127.0.0.1:80" or "[::1]:80" to `out`, of RL_ADDR_TEXT_MAX bytes; an IPv4 address within
 * IPv6 as IPv4. Returns the length. */
int rl_addr_format(const struct rl_addr *a, char *out);

/* Whose address it is: the bytes of an IPv4 address, also of one within IPv6, or an IPv6 address of
 * which bits behind the first `bits` are 0. `out` has RL_ADDR_BYTES_MAX bytes; returns the length,
 * by which the families differ. */
size_t rl_addr_network(const struct rl_addr *a, unsigned bits, unsigned char *out);

/* The families by turns, beginning with that of the first; else the order is kept (RFC 8305, 4). */
void rl_addr_interleave(struct rl_addr *list, unsigned n);

#endif
