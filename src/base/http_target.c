/* SPDX-License-Identifier: MIT */
/*
 * http_target: the form is decided by the method and the first byte. User information before a host
 * is refused (RFC 9110 4.2.4); so is an IP literal that is no IPv6 address.
 */
#include "base/http_target.h"

#include "base/http_char.h"

#define PORT_MAX 65535

/* The end of a registered name or an IPv4 address; `p` itself if it is neither. */
static const unsigned char *skip_name(const unsigned char *p, const unsigned char *end)
{
	for (;;) {
		p = rl_http_skip(p, end, RL_HTTP_REG_NAME);
		if (end - p < 3 || *p != '%' || !rl_http_is(p[1], RL_HTTP_HEX) ||
			!rl_http_is(p[2], RL_HTTP_HEX))
			return p;
		p += 3;
	}
}

/* The end of an address in brackets; `p` itself if it is none. Colons and digits are not counted:
 * who connects there parses it. */
static const unsigned char *skip_literal(const unsigned char *p, const unsigned char *end)
{
	const unsigned char *at = p + 1;
	while (at < end && (rl_http_is(*at, RL_HTTP_HEX) || *at == ':' || *at == '.'))
		at++;
	return at < end && *at == ']' && at - p > 2 ? at + 1 : p;
}

static bool is_port(const unsigned char *p, const unsigned char *end, bool has_port)
{
	uint64_t port = 0;
	if (p == end)
		return !has_port;
	if (rl_http_number(p, (size_t)(end - p), PORT_MAX, &port) < 0)
		return false;
	return port > 0 || !has_port;
}

bool rl_http_target_is_host(const char *text, size_t len, bool has_port)
{
	const unsigned char *from = (const unsigned char *)text, *end = from + len;
	if (len == 0)
		return false;
	const unsigned char *p = *from == '[' ? skip_literal(from, end) : skip_name(from, end);
	if (p == from)
		return false;
	if (p == end)
		return !has_port;
	return *p == ':' && is_port(p + 1, end, has_port);
}

static struct rl_http_span range(uint32_t from, uint32_t to)
{
	return (struct rl_http_span){ from, to - from };
}

/* scheme "://" authority [path]; what is behind "?" is known already. */
static int split_absolute(struct rl_http_target *t, const unsigned char *bytes)
{
	const unsigned char *from = bytes + t->all.off, *end = from + t->all.len;
	if (t->query.off)
		end = bytes + t->query.off - 1;
	const unsigned char *p = from;
	if (p == end || !rl_http_is(*p, RL_HTTP_ALPHA))
		return -RL_HTTP_BAD_TARGET;
	while (p < end && (rl_http_is(*p, RL_HTTP_ALPHA | RL_HTTP_DIGIT) || *p == '+' || *p == '-' ||
		*p == '.'))
		p++;
	if (end - p < 3 || p[0] != ':' || p[1] != '/' || p[2] != '/')
		return -RL_HTTP_BAD_TARGET;
	uint32_t authority = (uint32_t)(p + 3 - bytes);
	for (p += 3; p < end && *p != '/'; p++)
		continue;
	t->authority = range(authority, (uint32_t)(p - bytes));
	t->path = range((uint32_t)(p - bytes), (uint32_t)(end - bytes));
	t->form = RL_TARGET_ABSOLUTE;
	return rl_http_target_is_host((const char *)bytes + authority, t->authority.len, false) ? 0 :
		-RL_HTTP_BAD_TARGET;
}

int rl_http_target_split(struct rl_http_target *t, const char *bytes, bool connect, bool options)
{
	const char *text = bytes + t->all.off;
	if (connect) {
		t->authority = t->all;
		t->form = RL_TARGET_AUTHORITY;
		return rl_http_target_is_host(text, t->all.len, true) ? 0 : -RL_HTTP_BAD_TARGET;
	}
	if (*text == '/') {
		t->path = t->query.off ? range(t->all.off, t->query.off - 1) : t->all;
		t->form = RL_TARGET_ORIGIN;
		return 0;
	}
	if (options && t->all.len == 1 && *text == '*') {
		t->form = RL_TARGET_ASTERISK;
		return 0;
	}
	return split_absolute(t, (const unsigned char *)bytes);
}
