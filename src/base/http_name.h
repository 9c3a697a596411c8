/* SPDX-License-Identifier: MIT */
/*
 * http_name: the field names that are known, as small numbers. Whoever looks for one of them
 * compares numbers, not texts.
 */
#ifndef RL_BASE_HTTP_NAME_H
#define RL_BASE_HTTP_NAME_H

#include <stddef.h>
#include <stdint.h>

/* Number, name, and the first and the last letter of the name, which find it. */
#define RL_HTTP_NAMES(X) \
	X(ACCEPT, "accept", 'a', 't') \
	X(ACCEPT_CHARSET, "accept-charset", 'a', 't') \
	X(ACCEPT_ENCODING, "accept-encoding", 'a', 'g') \
	X(ACCEPT_LANGUAGE, "accept-language", 'a', 'e') \
	X(ACCEPT_RANGES, "accept-ranges", 'a', 's') \
	X(AGE, "age", 'a', 'e') \
	X(ALLOW, "allow", 'a', 'w') \
	X(AUTHORIZATION, "authorization", 'a', 'n') \
	X(CACHE_CONTROL, "cache-control", 'c', 'l') \
	X(CONNECTION, "connection", 'c', 'n') \
	X(CONTENT_DISPOSITION, "content-disposition", 'c', 'n') \
	X(CONTENT_ENCODING, "content-encoding", 'c', 'g') \
	X(CONTENT_LANGUAGE, "content-language", 'c', 'e') \
	X(CONTENT_LENGTH, "content-length", 'c', 'h') \
	X(CONTENT_RANGE, "content-range", 'c', 'e') \
	X(CONTENT_TYPE, "content-type", 'c', 'e') \
	X(COOKIE, "cookie", 'c', 'e') \
	X(DATE, "date", 'd', 'e') \
	X(ETAG, "etag", 'e', 'g') \
	X(EXPECT, "expect", 'e', 't') \
	X(EXPIRES, "expires", 'e', 's') \
	X(FORWARDED, "forwarded", 'f', 'd') \
	X(HOST, "host", 'h', 't') \
	X(IF_MATCH, "if-match", 'i', 'h') \
	X(IF_MODIFIED_SINCE, "if-modified-since", 'i', 'e') \
	X(IF_NONE_MATCH, "if-none-match", 'i', 'h') \
	X(IF_RANGE, "if-range", 'i', 'e') \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since", 'i', 'e') \
	X(KEEP_ALIVE, "keep-alive", 'k', 'e') \
	X(LAST_MODIFIED, "last-modified", 'l', 'd') \
	X(LOCATION, "location", 'l', 'n') \
	X(MAX_FORWARDS, "max-forwards", 'm', 's') \
	X(ORIGIN, "origin", 'o', 'n') \
	X(PROXY_AUTHENTICATE, "proxy-authenticate", 'p', 'e') \
	X(PROXY_AUTHORIZATION, "proxy-authorization", 'p', 'n') \
	X(PROXY_CONNECTION, "proxy-connection", 'p', 'n') \
	X(RANGE, "range", 'r', 'e') \
	X(REFERER, "referer", 'r', 'r') \
	X(RETRY_AFTER, "retry-after", 'r', 'r') \
	X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept", 's', 't') \
	X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions", 's', 's') \
	X(SEC_WEBSOCKET_KEY, "sec-websocket-key", 's', 'y') \
	X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol", 's', 'l') \
	X(SEC_WEBSOCKET_VERSION, "sec-websocket-version", 's', 'n') \
	X(SERVER, "server", 's', 'r') \
	X(SET_COOKIE, "set-cookie", 's', 'e') \
	X(TE, "te", 't', 'e') \
	X(TRAILER, "trailer", 't', 'r') \
	X(TRANSFER_ENCODING, "transfer-encoding", 't', 'g') \
	X(UPGRADE, "upgrade", 'u', 'e') \
	X(USER_AGENT, "user-agent", 'u', 't') \
	X(VARY, "vary", 'v', 'y') \
	X(VIA, "via", 'v', 'a') \
	X(WWW_AUTHENTICATE, "www-authenticate", 'w', 'e') \
	X(X_FORWARDED_FOR, "x-forwarded-for", 'x', 'r') \
	X(X_FORWARDED_HOST, "x-forwarded-host", 'x', 't') \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", 'x', 'o') \
	X(X_REAL_IP, "x-real-ip", 'x', 'p') \
	X(X_REQUEST_ID, "x-request-id", 'x', 'd')

/* RL_FIELD_HOST and so on; RL_FIELD_OTHER is every name that is not known. */
enum rl_http_name {
	RL_FIELD_OTHER,
#define RL_HTTP_NAME(id, name, first, last) RL_FIELD_##id,
	RL_HTTP_NAMES(RL_HTTP_NAME)
#undef RL_HTTP_NAME
	RL_FIELD_COUNT,
};

_Static_assert(RL_FIELD_COUNT <= 64, "a set of known names is one word");

static inline uint64_t rl_http_name_bit(unsigned id)
{
	return (uint64_t)1 << id;
}

/* The number of a token, whatever its case. */
unsigned rl_http_name_find(const char *name, size_t len);

/* The name of a number, in lower case; "" for RL_FIELD_OTHER. */
const char *rl_http_name_text(unsigned id);

#endif
