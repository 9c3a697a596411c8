/* SPDX-License-Identifier: MIT */
/* base64: see base64.h. Four characters for three bytes; the last group may be padded. */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t rl_base64_encode(const void *data, size_t len, char *out)
{
	const uint8_t *p = data;
	char *at = out;
	for (; len > 0; at += 4) {
		size_t n = len < 3 ? len : 3;
		uint32_t bits = (uint32_t)p[0] << 16;
		bits |= n > 1 ? (uint32_t)p[1] << 8 : 0;
		bits |= n > 2 ? p[2] : 0;
		at[0] = alphabet[bits >> 18];
		at[1] = alphabet[bits >> 12 & 63];
		at[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
		at[3] = n > 2 ? alphabet[bits & 63] : '=';
		p += n;
		len -= n;
	}
	return (size_t)(at - out);
}

/* The six bits of a character; -1: it has none. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bytes of a group of `n` characters before its padding; -1: there is no such group. */
static int decode_group(const char *text, int n, uint8_t *out)
{
	uint32_t bits = 0;
	for (int i = 0; i < n; i++) {
		int value = value_of(text[i]);
		if (value < 0)
			return -1;
		bits |= (uint32_t)value << (18 - 6 * i);
	}
	if (n < 2 || (n == 2 && (bits & 0xffff)) || (n == 3 && (bits & 0xff)))
		return -1;
	for (int i = 0; i < n - 1; i++)
		out[i] = (uint8_t)(bits >> (16 - 8 * i));
	return n - 1;
}

long rl_base64_decode(const char *text, size_t len, void *out)
{
	uint8_t *at = out;
	if (len % 4 != 0)
		return -1;
	for (size_t i = 0; i < len; i += 4) {
		int n = 4;
		while (i + 4 == len && n > 2 && text[i + (size_t)n - 1] == '=')
			n--;
		int bytes = decode_group(text + i, n, at);
		if (bytes < 0)
			return -1;
		at += bytes;
	}
	return (long)(at - (uint8_t *)out);
}
