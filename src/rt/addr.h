/* SPDX-License-Identifier: MIT */
/*
 * addr: addresses as text, "127.0.0.1:80", "[::1]:80", "localhost:80" and ":80" of TCP,
 * "unix:/run/a.sock" and, of the abstract name space, "unix:@a" of Unix sockets; and as the kernel
 * has them. A Unix socket's address is its own host, without a port.
 */
#ifndef RL_RT_ADDR_H
#define RL_RT_ADDR_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RL_ADDR_HOST_MAX 256 /* with the final 0 */
#define RL_ADDR_TEXT_MAX 128
#define RL_ADDR_PATH_MAX 107 /* of a Unix socket, bytes without the final 0 */
#define RL_ADDR_BYTES_MAX 16

struct rl_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

/* "host:port" apart; `host` has RL_ADDR_HOST_MAX bytes, and is "" for ":80", all of "unix:/path".
 * 0, or -EINVAL when the text is no address. */
int rl_addr_split(const char *text, size_t len, char *host, uint16_t *port);

/* An address in numbers. 0, or -EINVAL when `host` is something else. */
int rl_addr_parse(struct rl_addr *out, const char *host, uint16_t port);

/* Copy what the kernel or the resolver gave; -EAFNOSUPPORT unless it is IPv4, IPv6 or Unix. */
int rl_addr_load(struct rl_addr *out, const struct sockaddr *sa, socklen_t len);

/* Write "127.0.0.1:80", "[::1]:80" or "unix:/path" to `out`, of RL_ADDR_TEXT_MAX bytes; an IPv4
 * address within IPv6 as IPv4, a Unix socket without a name as "unix:". Returns the length. */
int rl_addr_format(const struct rl_addr *a, char *out);

/* Whose address it is: the bytes of an IPv4 address, also of one within IPv6, or an IPv6 address of
 * which bits behind the first `bits` are 0; nothing of Unix sockets, whose peers are all on this
 * host. `out` has RL_ADDR_BYTES_MAX bytes; returns the length, by which the families differ. */
size_t rl_addr_network(const struct rl_addr *a, unsigned bits, unsigned char *out);

/* The families by turns, beginning with that of the first; else the order is kept (RFC 8305, 4). */
void rl_addr_interleave(struct rl_addr *list, unsigned n);

/* The path of the file that binding this address makes, or NULL. */
const char *rl_addr_path(const struct rl_addr *a);

#endif
