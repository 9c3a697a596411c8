/* SPDX-License-Identifier: MIT */
/*
 * utf8: see utf8.h. Where the text is ASCII, eight bytes are looked at in one step. All that is
 * peculiar to a first byte - overlong forms, surrogates, the end of the range - bounds its second.
 */
#include "base/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Skip ASCII: how many of the bytes are, up to seven less. */
static size_t skip_ascii(const unsigned char *p, size_t len)
{
	size_t at = 0;
	for (; len - at >= 16; at += 16) {
		uint64_t a, b;
		memcpy(&a, p + at, sizeof a);
		memcpy(&b, p + at + sizeof a, sizeof b);
		if ((a | b) & HIGH_BITS)
			return at;
	}
	return at;
}

/* What the first byte of a character, not an ASCII one, asks of those that follow. */
static bool begin(struct rl_utf8 *u, unsigned char c)
{
	if (c < 0xc2 || c > 0xf4)
		return false;
	u->need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	return true;
}

bool rl_utf8_feed(struct rl_utf8 *u, const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *)data, *end = p + len;
	while (p < end) {
		if (u->need == 0) {
			p += skip_ascii(p, (size_t)(end - p));
			while (p < end && *p < 0x80)
				p++;
			if (p < end && !begin(u, *p++))
				return false;
			continue;
		}
		if (*p < u->low || *p > u->high)
			return false;
		u->low = 0x80;
		u->high = 0xbf;
		u->need--;
		p++;
	}
	return true;
}

bool rl_utf8_is_valid(const char *data, size_t len)
{
	struct rl_utf8 u = {0};
	return rl_utf8_feed(&u, data, len) && rl_utf8_is_done(&u);
}
