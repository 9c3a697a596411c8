/* SPDX-License-Identifier: MIT */
/*
 * http_char: the table, and words of eight bytes.
 *
 * A target may hold what browsers send without encoding it ([ ] \ ^ ` { | }) although RFC 3986 has
 * no place for it. What it may not hold is white space, controls, bytes above 127, and " # < >.
 */
#include "base/http_char.h"

#include <endian.h>
#include <string.h>

#define T RL_HTTP_TOKEN
#define X RL_HTTP_TEXT
#define P RL_HTTP_PATH
#define R RL_HTTP_REG_NAME
#define LETTER (T | X | P | R | RL_HTTP_ALPHA)

const uint8_t rl_http_class[256] = {
	['\t'] = X,
	[' '] = X,
	['!'] = T | X | P | R,
	['"'] = X,
	['#'] = T | X,
	['$'] = T | X | P | R,
	['%'] = T | X | P,
	['&'] = T | X | P | R,
	['\''] = T | X | P | R,
	['('] = X | P | R,
	[')'] = X | P | R,
	['*'] = T | X | P | R,
	['+'] = T | X | P | R,
	[','] = X | P | R,
	['-'] = T | X | P | R,
	['.'] = T | X | P | R,
	['/'] = X | P,
	['0' ... '9'] = T | X | P | R | RL_HTTP_DIGIT | RL_HTTP_HEX,
	[':'] = X | P,
	[';'] = X | P | R,
	['<'] = X,
	['='] = X | P | R,
	['>'] = X,
	['?'] = X,
	['@'] = X | P,
	['A' ... 'F'] = LETTER | RL_HTTP_HEX,
	['G' ... 'Z'] = LETTER,
	['['] = X | P,
	['\\'] = X | P,
	[']'] = X | P,
	['^'] = T | X | P,
	['_'] = T | X | P | R,
	['`'] = T | X | P,
	['a' ... 'f'] = LETTER | RL_HTTP_HEX,
	['g' ... 'z'] = LETTER,
	['{'] = X | P,
	['|'] = T | X | P,
	['}'] = X | P,
	['~'] = T | X | P | R,
	[0x80 ... 0xff] = X,
};

#define EACH 0x0101010101010101u
#define HIGH (EACH * 0x80)

static uint64_t word(const void *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof w);
	return le64toh(w);
}

/* The high bit of bytes below 0x20 or equal to 0x7f; exact up to the lowest that is set. */
static uint64_t controls(uint64_t w)
{
	uint64_t del = w ^ EACH * 0x7f;
	return (((w - EACH * 0x20) & ~w) | ((del - EACH) & ~del)) & HIGH;
}

const unsigned char *rl_http_skip_text(const unsigned char *p, const unsigned char *end)
{
	while (end - p >= 8) {
		uint64_t found = controls(word(p));
		if (!found) {
			p += 8;
			continue;
		}
		p += __builtin_ctzll(found) / 8;
		if (*p != '\t')
			return p;
		p++;
	}
	return rl_http_skip(p, end, RL_HTTP_TEXT);
}

/* In a token, only a capital letter becomes another byte that `lower` may have. */
bool rl_http_same(const unsigned char *p, const char *lower, size_t len)
{
	uint64_t differ = 0;
	size_t i = 0;
	for (; i + 8 <= len; i += 8)
		differ |= (word(p + i) | EACH * 0x20) ^ word(lower + i);
	if (i > 0 && i < len)
		return !(differ | ((word(p + len - 8) | EACH * 0x20) ^ word(lower + len - 8)));
	for (; i < len; i++)
		differ |= (p[i] | 0x20u) ^ (unsigned char)lower[i];
	return differ == 0;
}

static unsigned fold(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + 32u : c;
}

bool rl_http_same_text(const unsigned char *a, const unsigned char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (fold(a[i]) != fold(b[i]))
			return false;
	return true;
}

int rl_http_number(const unsigned char *p, size_t len, uint64_t max, uint64_t *value)
{
	uint64_t n = 0;
	if (len == 0)
		return -1;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = p[i] - '0';
		if (digit > 9 || n > max / 10 || digit > max - n * 10)
			return -1;
		n = n * 10 + digit;
	}
	*value = n;
	return 0;
}
