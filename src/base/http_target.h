/* SPDX-License-Identifier: MIT */
/*
 * http_target: the parts of a request target (RFC 9112 3.2) and the host names in it and in Host
 * fields (RFC 3986 3.2).
 */
#ifndef RL_BASE_HTTP_TARGET_H
#define RL_BASE_HTTP_TARGET_H

#include "base/http_field.h"

#include <stdbool.h>

enum rl_http_form {
	RL_TARGET_ORIGIN,    /* /path?query */
	RL_TARGET_ABSOLUTE,  /* scheme://authority/path?query */
	RL_TARGET_AUTHORITY, /* host:port, of CONNECT */
	RL_TARGET_ASTERISK,  /* *, of OPTIONS */
};

struct rl_http_target {
	struct rl_http_span all;
	struct rl_http_span path;      /* empty for the forms without one, and where a URI has none */
	struct rl_http_span query;     /* without "?"; `off` is 0 if there is no "?" */
	struct rl_http_span authority; /* of the absolute and the authority form; else empty */
	uint8_t form;
};

/*
 * Fill in the form and the parts. `all` and `query` are known, and the bytes of the target are of
 * the class that targets may have. 0, or -RL_HTTP_BAD_TARGET: it is none of the forms, its
 * authority is no host, or the method has another form.
 */
int rl_http_target_split(struct rl_http_target *t, const char *bytes, bool connect, bool options);

/*
 * Is it host [":" port]: a name of one character or more, an IPv4 address, or an IPv6 address in
 * brackets, and a port of at most 65535, which may be empty? `has_port`: and with a port above 0.
 */
bool rl_http_target_is_host(const char *text, size_t len, bool has_port);

#endif
