/* SPDX-License-Identifier: MIT */
/* addr: see addr.h. Nothing here asks a name server. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memrchr */
#endif
#include "rt/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define UNIX "unix:"
#define UNIX_LEN (sizeof UNIX - 1)

static int parse_port(const char *s, size_t len, uint16_t *port)
{
	unsigned n = 0;
	if (len == 0 || len > 5)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(s[i] - '0');
		if (digit > 9)
			return -EINVAL;
		n = n * 10 + digit;
	}
	if (n > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)n;
	return 0;
}

/* Only what a host name or a number is written with: nothing invisible reaches the resolver. */
static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
		|| strchr("-._:%", c) != NULL;
}

/* "unix:" and an absolute path, or "@" and a name. */
static bool is_unix(const char *text, size_t len)
{
	if (len <= UNIX_LEN || memcmp(text, UNIX, UNIX_LEN) != 0)
		return false;
	return text[UNIX_LEN] == '/' || text[UNIX_LEN] == '@';
}

static int split_unix(const char *text, size_t len, char *host, uint16_t *port)
{
	size_t path_len = len - UNIX_LEN;
	if (path_len < 2 || path_len > RL_ADDR_PATH_MAX || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	*port = 0;
	return 0;
}

int rl_addr_split(const char *text, size_t len, char *host, uint16_t *port)
{
	if (is_unix(text, len))
		return split_unix(text, len, host, port);
	const char *end = text + len, *colon = memrchr(text, ':', len);
	if (!colon)
		return -EINVAL;
	const char *from = text, *to = colon;
	bool bracketed = len > 0 && text[0] == '[';
	if (bracketed) {
		if (to - from < 3 || to[-1] != ']')
			return -EINVAL;
		from++;
		to--;
	}
	size_t n = (size_t)(to - from);
	if (n >= RL_ADDR_HOST_MAX || (!bracketed && memchr(from, ':', n)))
		return -EINVAL;
	for (const char *c = from; c < to; c++)
		if (!*c || !is_host_char(*c))
			return -EINVAL;
	memcpy(host, from, n);
	host[n] = '\0';
	return parse_port(colon + 1, (size_t)(end - colon - 1), port);
}

/* A name of the abstract name space has no final 0, and "@" stands for its first byte. */
static int parse_unix(struct rl_addr *out, const char *path)
{
	size_t len = strlen(path);
	if (len > RL_ADDR_PATH_MAX)
		return -EINVAL;
	out->un.sun_family = AF_UNIX;
	memcpy(out->un.sun_path, path, len);
	if (path[0] == '@')
		out->un.sun_path[0] = '\0';
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/'));
	return 0;
}

int rl_addr_parse(struct rl_addr *out, const char *host, uint16_t port)
{
	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, host, &out->in4.sin_addr) == 1) {
		out->in4.sin_family = AF_INET;
		out->in4.sin_port = htons(port);
		out->len = sizeof out->in4;
		return 0;
	}
	if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons(port);
		out->len = sizeof out->in6;
		return 0;
	}
	if (is_unix(host, strlen(host)))
		return parse_unix(out, host + UNIX_LEN);
	return -EINVAL;
}

int rl_addr_load(struct rl_addr *out, const struct sockaddr *sa, socklen_t len)
{
	socklen_t want = 0;
	memset(out, 0, sizeof *out);
	if (len >= (socklen_t)sizeof sa->sa_family && sa->sa_family == AF_INET)
		want = sizeof out->in4;
	else if (len >= (socklen_t)sizeof sa->sa_family && sa->sa_family == AF_INET6)
		want = sizeof out->in6;
	else if (len >= (socklen_t)sizeof sa->sa_family && sa->sa_family == AF_UNIX)
		want = len <= (socklen_t)sizeof out->un ? len : 0;
	if (want == 0 || len < want)
		return -EAFNOSUPPORT;
	memcpy(&out->sa, sa, want);
	out->len = want;
	return 0;
}

/* The kernel's length may or may not count a final 0. */
static int format_unix(const struct rl_addr *a, char *out)
{
	const char *path = a->un.sun_path;
	size_t len = a->len - offsetof(struct sockaddr_un, sun_path);
	if (len > 0 && path[0] == '\0')
		return snprintf(out, RL_ADDR_TEXT_MAX, UNIX "@%.*s", (int)len - 1, path + 1);
	return snprintf(out, RL_ADDR_TEXT_MAX, UNIX "%.*s", (int)len, path);
}

int rl_addr_format(const struct rl_addr *a, char *out)
{
	char host[INET6_ADDRSTRLEN];
	if (a->sa.sa_family == AF_UNIX)
		return format_unix(a, out);
	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in4.sin_addr, host, sizeof host);
		return snprintf(out, RL_ADDR_TEXT_MAX, "%s:%u", host, ntohs(a->in4.sin_port));
	}
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
		inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], host, sizeof host);
		return snprintf(out, RL_ADDR_TEXT_MAX, "%s:%u", host, ntohs(a->in6.sin6_port));
	}
	inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof host);
	return snprintf(out, RL_ADDR_TEXT_MAX, "[%s]:%u", host, ntohs(a->in6.sin6_port));
}

size_t rl_addr_network(const struct rl_addr *a, unsigned bits, unsigned char *out)
{
	const unsigned char *bytes = a->in6.sin6_addr.s6_addr;
	if (a->sa.sa_family == AF_UNIX)
		return 0;
	if (a->sa.sa_family == AF_INET) {
		memcpy(out, &a->in4.sin_addr, 4);
		return 4;
	}
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
		memcpy(out, bytes + 12, 4);
		return 4;
	}
	for (unsigned i = 0; i < 16; i++) {
		unsigned left = bits > 8 * i ? bits - 8 * i : 0;
		out[i] = left >= 8 ? bytes[i] : (unsigned char)(bytes[i] & ~(0xff >> left));
	}
	return 16;
}

const char *rl_addr_path(const struct rl_addr *a)
{
	return a->sa.sa_family == AF_UNIX && a->un.sun_path[0] == '/' ? a->un.sun_path : NULL;
}

/* The first of `list[from..n)` with this family, or not; n: none. */
static unsigned find_family(const struct rl_addr *list, unsigned from, unsigned n, int family,
	bool equal)
{
	while (from < n && (list[from].sa.sa_family == family) != equal)
		from++;
	return from;
}

void rl_addr_interleave(struct rl_addr *list, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		unsigned found = find_family(list, i, n, list[i - 1].sa.sa_family, false);
		if (found == n)
			return;
		struct rl_addr a = list[found];
		memmove(&list[i + 1], &list[i], (found - i) * sizeof a);
		list[i] = a;
	}
}
