/* SPDX-License-Identifier: MIT */
/*
 * http_char: what each byte may be in an HTTP message (RFC 9110 5.6, RFC 9112 3.2, RFC 3986), as
 * one table, and the loops that run over such bytes. No locale has a say.
 */
#ifndef RL_BASE_HTTP_CHAR_H
#define RL_BASE_HTTP_CHAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RL_HTTP_TOKEN = 1,    /* tchar */
	RL_HTTP_TEXT = 2,     /* in a field value: HTAB, SP, VCHAR, obs-text */
	RL_HTTP_PATH = 4,     /* in a request target, but "?" */
	RL_HTTP_REG_NAME = 8, /* in a host name; percent signs are looked at by themselves */
	RL_HTTP_DIGIT = 16,
	RL_HTTP_HEX = 32,
	RL_HTTP_ALPHA = 64,
};

extern const uint8_t rl_http_class[256];

static inline bool rl_http_is(unsigned char byte, unsigned classes)
{
	return rl_http_class[byte] & classes;
}

/* The first byte from `p` on that is in none of `classes`, or `end`. */
static inline const unsigned char *rl_http_skip(const unsigned char *p, const unsigned char *end,
	unsigned classes)
{
	while (p < end && rl_http_is(*p, classes))
		p++;
	return p;
}

/* The same for RL_HTTP_TEXT, eight bytes at a time. */
const unsigned char *rl_http_skip_text(const unsigned char *p, const unsigned char *end);

/* Are the `len` bytes at `p` this text, which has no capital letters, in any case? Exact if they
 * are a token. */
bool rl_http_same(const unsigned char *p, const char *lower, size_t len);

/* Are two texts of the same length equal but for the case of ASCII letters? */
bool rl_http_same_text(const unsigned char *a, const unsigned char *b, size_t len);

/* Take the white space (SP, HTAB) off both ends of a range. */
static inline void rl_http_trim(const unsigned char **from, const unsigned char **to)
{
	while (*from < *to && (**from == ' ' || **from == '\t'))
		++*from;
	while (*to > *from && ((*to)[-1] == ' ' || (*to)[-1] == '\t'))
		--*to;
}

/* 1*DIGIT as a number: 0, or -1 if it is none or is above `max`. */
int rl_http_number(const unsigned char *p, size_t len, uint64_t max, uint64_t *value);

#endif
