/* SPDX-License-Identifier: MIT */
/* http_text: the classes of http_char.c, applied to whole texts. */
#include "base/http_text.h"

#include "base/http_char.h"

#include <string.h>

size_t rl_http_text_decimal(char *out, uint64_t n)
{
	char digits[RL_HTTP_DECIMAL_MAX], *p = digits + sizeof digits;
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	size_t len = (size_t)(digits + sizeof digits - p);
	memcpy(out, p, len);
	return len;
}

size_t rl_http_text_chunk(char *out, uint64_t size)
{
	size_t digits = 1;
	while (digits < 16 && size >> (4 * digits) > 0)
		digits++;
	for (size_t i = 0; i < digits; i++)
		out[i] = "0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
	memcpy(out + digits, "\r\n", 2);
	return digits + 2;
}

static bool is_all(const char *text, size_t len, unsigned classes)
{
	const unsigned char *p = (const unsigned char *)text;
	return rl_http_skip(p, p + len, classes) == p + len;
}

bool rl_http_text_is_token(const char *text, size_t len)
{
	return len > 0 && is_all(text, len, RL_HTTP_TOKEN);
}

bool rl_http_text_is_value(const char *text, size_t len)
{
	const unsigned char *from = (const unsigned char *)text, *to = from + len;
	if (rl_http_skip_text(from, to) != to)
		return false;
	rl_http_trim(&from, &to);
	return (size_t)(to - from) == len;
}

bool rl_http_text_is_target(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	for (; p < end; p++)
		if (!rl_http_is(*p, RL_HTTP_PATH) && *p != '?')
			return false;
	return len > 0;
}
